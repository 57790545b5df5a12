// What Python hands over: machine, memory's ports and program. core.py has the same fields.
#pragma once

#include <cstdint>

using Time = int64_t;  // in cycles; that of the start is number 0

enum Stream { NBIN_STREAM, SB_STREAM, NBOUT_STREAM, CP_STREAM };  // sim.ports.STREAMS

struct Machine {
    int64_t queue, slots_in_work, outstanding, burst_cycles;
    int64_t nbin_beat, sb_beat, nbout_beat, cp_beat;      // bytes
    int64_t nbin_burst, sb_burst, nbout_burst, cp_burst;  // hw.bus.bursts.burst_bytes
    int64_t nbin_elements, nbin_fifo, element_bytes, ti;
    int64_t sb_rows, nbout_rows, row_bytes;
    int64_t buffer_beats, word_bytes;
    int64_t operand_stages, nfu1_stages, nfu2_stages, nfu3_stages, activation_cycles, paced;
    int64_t engine, on_chip;
};

struct Port {
    int64_t width;  // bytes
    int64_t writes;
    int64_t streams[3];  // -1 for none
};

// A load or store slot.
struct Transfer {
    int64_t address, run, count[3], stride[3];
    int64_t skip, fence;  // of NBin
};

struct Level {
    int64_t count, nbin_step, sb_step, nbin_free, sb_free;
};

struct Nest {
    int64_t reads_nbin, reads_sb, table, finishes;  // finishes: its last steps go to NFU-3
    int64_t reduce, nbin, sb, nbin_free, sb_free;
    Level levels[LEVELS];
};

enum Kind { CP, SB, NBIN, NBOUT, NFU, KINDS };  // hw.diannao.fields.SLOTS

struct Program {
    int64_t address, words, instructions;
    int64_t slot_words[KINDS];
    const uint8_t* present;  // of each instruction, a bit for each kind; bit CP says that it ends
    const Transfer* transfers[KINDS];
    const Nest* nests;
};

enum Stall { NBIN_STALL, SB_STALL, NBOUT_STALL, STORE_STALL, INSTRUCTION_STALL, STALLS };

struct Result {
    Time* ends[KINDS];  // of the slots: last data in the buffer, last response, last step
    int64_t (*stalls)[STALLS];  // before and in each nest, and after the last one
};
