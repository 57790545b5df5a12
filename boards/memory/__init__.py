"""Memories of boards. Each is a component with two members::

    bus : In(ReadWritePort), the core's memory
    words : In(WordPort), the same memory for the host link, word by word

and three numbers: its ``size`` in bytes, and its ``bandwidth`` in bytes per cycle and ``latency``
in cycles to the first beat, from which the compiler estimates times; ``on_chip`` says that it is an
OnChipMemory, of which they can be exact. A memory in chips of its own has, too::

    pins : Out, its pins
    make_model() : makes what a simulation has at these pins, with a member ``broken``, which tells
        that a rule of the chip was broken
"""
