"""The energy of a run as a table for people."""

from typing import Any

from rich.table import Table

from .events import GROUPS

__all__ = ["energy_table"]


def energy_table(report: dict[str, Any]) -> Table:
    """Energy of each layer of a report that ``add_energy`` has completed."""
    whole = report["energy"]
    unit = "J" if "joules" in whole else whole["unit"]
    table = Table(title=f"energy by table {whole['table']}", caption=whole["source"])
    table.add_column("layer")
    for heading in (unit, f"{whole['unit']} per MAC", *GROUPS):
        table.add_column(heading, justify="right")
    for row in (*report["layers"], {"name": "total", "energy": whole}):
        if row["name"] == "total" and row["energy"] is whole:
            table.add_section()
        energy = row["energy"]
        total = energy["total"]
        shares = (sum(energy["by"][event] for event in events) for events in GROUPS.values())
        table.add_row(
            row["name"], f"{energy.get('joules', total):.4g}",
            "-" if energy["per_mac"] is None else f"{energy['per_mac']:.3g}",
            *(f"{100 * share / total:.1f} %" if total else "-" for share in shares),
        )  # fmt: skip
    return table
