"""The commands ``diannao board``: bitstreams for open FPGA boards."""
