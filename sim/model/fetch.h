// hw.diannao.fetch: from memory through the instruction buffer to words.
#pragma once

#include "read_dma.h"

class Fetch {
  public:
    ReadDma dma;

    Fetch(const Machine& machine, const Program& program)
        : dma(machine, machine.cp_beat, machine.cp_burst, true),
          beat(machine.cp_beat),
          word(machine.word_bytes),
          run{},
          more(program.words),
          room(machine.buffer_beats),
          buffer(machine.buffer_beats + 1) {
        const int64_t lead = program.address % beat;
        run.address = program.address - lead;
        run.run = program.words * word + lead;
        for (int64_t& count : run.count) count = 1;
        place = lead / word;
    }

    bool idle() const { return dma.idle() && !requested; }

    // Whether a word can be taken in this cycle.
    bool valid() const { return more && (beat < word ? joined : buffer.valid()); }

    void cycle(bool taken) {
        dma.receive();
        const bool left = words(taken);
        if (left) buffer.pop();
        if (dma.arrives) buffer.push({});
        const NextBurst* burst = dma.asking();
        const int64_t needed = burst ? burst->beats : 0;
        const bool permits = needed <= room;
        room += left - (permits ? needed : 0);
        if (dma.issue(permits, requested ? &run : nullptr)) requested = false;
        buffer.edge();
    }

    // A cycle after the program's end.
    void halt() {
        requested = false;
        dma.drop();
    }

  private:
    const int64_t beat, word;
    Transfer run;  // the program
    bool requested = true;
    int64_t more;  // words that have not been taken
    int64_t room;  // of the buffer, in beats
    int64_t place;
    bool half = false, joined = false;
    Queue<Nothing> buffer;

    // Cuts or joins beats; returns whether one leaves the buffer.
    bool words(bool taken) {
        more -= taken;
        if (beat == word) return taken;
        if (beat > word) {
            const bool last = place == beat / word - 1;
            if (taken) place = last ? 0 : place + 1;
            return taken && last;
        }
        const bool left = buffer.valid() && (!half || !joined || taken);
        joined = (left && half) || (joined && !taken);
        if (left) half = !half;
        return left;
    }
};
