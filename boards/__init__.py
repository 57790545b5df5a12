"""Boards: a core, a memory and a host link, down to the bitstream and up to the driver.

::

    catalog     which boards there are: platform, configuration, memory, clock
    top         BoardTop: core, memory and host link; what is simulated is what is built
    memory/     memories: on the chip (block RAM, SPRAM), and SDRAM with pins of its own
    registers   the board's registers beside those of the core: memory size, clock, session
    platform    BoardTop on the pins of an amaranth-boards platform, clock generation
    sdram_pads  registers at an SDRAM's pins, and when its clock comes
    build       synthesis, place and route, bitstream, report
    netlist     synthesis alone: the netlist, and what each module takes of the device
    frames, serial_link, transport     the host's end: checked frames, words, driver and target
    simulation, harness.cpp, models/   BoardTop in Verilator with its UART at a pseudo-terminal

The hardware's end of the link is ``hw.link``, the protocol is written in ``hw.link.protocol``.

All logic is in one clock domain and in ``BoardTop``, which knows no vendor's cells but those of its
memory. A platform adds a clock and pins, nothing that computes. That is why the simulation of a
board runs the unmodified driver, through a serial port as on the desk, and why a new board is an
entry in the catalog.

Words of memory and registers pass the link in frames with a checksum, which are repeated until they
have arrived; a number that the driver leaves in a register tells whether the board was reset in
between. So a run ends with the right result or with an error, never with a wrong result.
"""
