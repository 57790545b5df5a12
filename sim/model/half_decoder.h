// hw.diannao.engine.decode: from half words to slots, each to the engine or the sequencer.
#pragma once

#include "program.h"

constexpr int64_t HALF_BYTES = 2;

class HalfDecoder {
  public:
    bool commit = false;      // the last half word of an NFU slot came in the cycle before
    bool begun = false;       // the first one comes in this cycle
    Kind committed = KINDS;   // SB, NBIN or NBOUT: such a slot is complete in this cycle

    HalfDecoder(const Machine& machine, const Program& program)
        : program(program), halves(machine.word_bytes / HALF_BYTES) {}

    // All slots up to the program's end have been committed.
    bool ended() const { return ending && next() == CP && !index && complete == KINDS; }

    // The slot that is next.
    Kind next() const { return Kind(__builtin_ctz(coming)); }

    // Whether it takes a half word: `room` is that for the slot that is next, and the engine's
    // memory can be written if `free`.
    bool ready(bool room, bool free) const {
        if (is_load(complete) || (is_load(next()) && !free)) return false;
        if (index) return true;
        if (next() == CP) return !ending && instruction < program.instructions;
        return room;
    }

    void cycle(bool taken, bool free) {
        const bool waits = is_load(complete) && !free;
        committed = is_load(complete) && free ? complete : KINDS;
        if (!waits) complete = KINDS;
        commit = begun = false;
        if (!taken) return;

        const Kind kind = next();
        begun = kind == NFU && !index;
        if (kind == CP && !index) {
            const uint8_t present = program.present[instruction++];
            ending = present & 1 << CP;
            coming = present | 1 << CP;
        }
        if (++index == program.slot_words[kind] * halves) {
            index = 0;
            complete = kind;
            commit = kind == NFU;
            coming &= coming - 1;
            if (!coming) coming = 1 << CP;
        }
    }

  private:
    const Program& program;
    const int64_t halves;          // of a word
    int64_t instruction = 0;       // the next one
    int64_t index = 0;             // of the next half word in its slot
    unsigned coming = 1 << CP;     // kinds whose slots are still to come; CP between instructions
    bool ending = false;
    Kind complete = KINDS;  // the slot whose last half word has come

    static bool is_load(Kind kind) { return kind == SB || kind == NBIN || kind == NBOUT; }
};
