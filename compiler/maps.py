"""Feature maps in memory, as the code generators see them."""

from dataclasses import dataclass, replace

__all__ = ["Map", "Region"]


@dataclass(frozen=True)
class Region:
    """Some channels of a stored tensor: what loads and stores depend on each other by."""

    storage: str
    first: int
    last: int

    def overlaps(self, other: "Region") -> bool:
        return self.storage == other.storage and self.first < other.last and other.first < self.last


@dataclass(frozen=True)
class Map:
    """A feature map in memory, channels innermost and contiguous.

    Parameters
    ----------
    address : byte address of element (0, 0, 0, 0)
    batch, height, width, channels : extents
    pitches : bytes from one image, row and pixel to the next
    region : what it depends on
    """

    address: int
    batch: int
    height: int
    width: int
    channels: int
    pitches: tuple[int, int, int]
    region: Region

    def at(self, n: int = 0, y: int = 0, x: int = 0, offset: int = 0) -> int:
        """Byte address of pixel (n, y, x), which may lie in the halo, plus ``offset`` bytes."""
        return (
            self.address + n * self.pitches[0] + y * self.pitches[1] + x * self.pitches[2] + offset
        )

    def slice(self, first: int, channels: int, element_bytes: int) -> "Map":
        """Some of the channels."""
        start = self.region.first + first
        return replace(
            self, address=self.address + first * element_bytes, channels=channels,
            region=Region(self.region.storage, start, start + channels),
        )  # fmt: skip

    @property
    def lies_flat(self) -> bool:
        """Whether all rows of all images form one row of evenly spaced pixels."""
        n, y, x = self.pitches
        return (self.height == 1 or y == self.width * x) and (
            self.batch == 1 or n == self.height * self.width * x
        )

    def flat(self) -> "Map":
        """The same pixels as one row; only if they lie so."""
        if not self.lies_flat:
            raise ValueError("pixels must be evenly spaced to form one row")
        pixels = self.batch * self.height * self.width
        row = pixels * self.pitches[2]
        return replace(self, batch=1, height=1, width=pixels, pitches=(row, row, self.pitches[2]))
