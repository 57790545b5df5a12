// hw.diannao.decode: from words to slots, each to its unit.
#pragma once

#include "program.h"
#include "slots.h"

class Decoder {
  public:
    bool commit = false;  // the last word of an NFU slot came in the cycle before
    bool begun = false;   // the first one comes in this cycle

    Decoder(const Machine& machine, const Program& program, Slots& sb, Slots& nbin, Slots& nbout)
        : program(program), queued(machine.queue > 0), units{nullptr, &sb, &nbin, &nbout} {}

    // All slots up to the program's end have been handed out.
    bool ended() const { return ending && !coming && complete == KINDS && !holds(); }

    // Whether it takes a word, if there is a place for a nest.
    bool ready(bool nests_ready) const {
        if (index) return true;
        const Kind kind = next();
        if (kind == NFU) return nests_ready;
        if (!queued && holds()) return false;
        if (kind == CP) return !ending && instruction < program.instructions;
        return !queued || units[kind]->ready();
    }

    void cycle(bool taken) {
        const bool is_load = complete == SB || complete == NBIN || complete == NBOUT;
        if (queued && is_load) units[complete]->push(slot(complete));
        complete = KINDS;
        commit = begun = false;
        if (!taken) return;

        const Kind kind = next();
        begun = kind == NFU && !index;
        if (++index == program.slot_words[kind]) {
            index = 0;
            complete = kind;
            commit = kind == NFU;
            coming &= coming - 1;
            if (!queued && units[kind]) units[kind]->hold(slot(kind));
        }
        if (kind == CP) {
            const uint8_t present = program.present[instruction++];
            ending = present & 1 << CP;
            coming = present & ~(1 << CP);
        }
    }

  private:
    const Program& program;
    const bool queued;
    Slots* const units[KINDS];
    int64_t instruction = 0;  // the next one
    int64_t index = 0;        // of the next word in its slot
    unsigned coming = 0;      // kinds whose slots are still to come
    bool ending = false;
    Kind complete = KINDS;  // the slot whose last word came in the cycle before
    int64_t handed_out[KINDS] = {};

    Kind next() const { return coming ? Kind(__builtin_ctz(coming)) : CP; }
    bool holds() const { return units[SB]->holds() || units[NBIN]->holds() || units[NBOUT]->holds(); }
    Slot slot(Kind kind) { return {handed_out[kind]++, handed_out[NBOUT]}; }
};
