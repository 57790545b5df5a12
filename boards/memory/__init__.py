"""Memories of boards. Each is a component with two members.

bus : In(ReadWritePort), the core's memory
words : In(WordPort), the same memory for the host link, word by word

and with ``pins``, Out(PureInterface), if it has pins.
"""
