// hw.diannao.sequencer and hw.diannao.nests: the steps of NFU slots, one per cycle.
#pragma once

#include <cstring>

#include "program.h"

class Sequencer {
  public:
    bool busy = false;

    Sequencer(const Machine& machine, const Nest* nests, Time* ends, int64_t (*stalls)[STALLS])
        : ti(machine.ti), banks(machine.queue + 2), upcoming(nests), ends(ends), stalls(stalls) {}

    bool idle() const { return !busy && !waiting; }
    // There is a place for the words of a nest.
    bool ready() const { return used != banks; }

    // Of the step that waits to be issued.
    bool finishes() const { return row; }
    bool loads_table() const { return nest->table; }
    int64_t nbin_free() const { return gives_up.nbin; }
    int64_t sb_free() const { return gives_up.sb; }

    bool waits_for_sb() const {
        return (nest->reads_sb && sb >= sb_filled) || gives_up.sb > sb_filled;
    }
    bool waits_for_nbin() const {
        return (nest->reads_nbin && nbin_end > nbin_filled) || gives_up.nbin > nbin_filled;
    }

    void stall(Stall cause) { ++(*stalls)[cause]; }

    // One cycle, in which a step is issued or not, a nest is committed or not, and so many elements
    // and rows arrive.
    void cycle(Time now, bool issue, bool commit, int64_t elements, bool rows) {
        nbin_filled += elements - (issue ? gives_up.nbin : 0);
        sb_filled += rows - (issue ? gives_up.sb : 0);
        const bool starting = !busy || final;
        const bool done = issue && final, begin = fetched && (!busy || done);
        const bool awaited = starting && !fetched;
        if (done) {
            *ends++ = now;
            ++stalls;
            busy = false;
        }
        if (begin) {
            start(*upcoming++);
        } else if (issue && !done) {
            advance();
        }
        if (awaited) {
            fetched = waiting > 0;
        } else if (begin || (issue && !done)) {
            fetched = final && waiting > starting;
        }
        waiting += commit - begin;
        ended = done;
    }

    // At the end of a cycle; `begun`: the first word of a nest has come.
    void edge(bool begun) { used += begun - ended; }

  private:
    struct Loop {
        int64_t last, nbin, sb;  // index of the last iteration, and how positions move
        int64_t nbin_free, sb_free;
        int64_t index;
    };
    struct Given {
        int64_t nbin, sb;
    };
    const int64_t ti, banks;
    const Nest* upcoming;  // the nest that comes next
    Time* ends;
    int64_t (*stalls)[STALLS];
    int64_t used = 0, waiting = 0;  // nests that have a place, and those that are complete
    bool fetched = false, ended = false;
    int64_t nbin_filled = 0, sb_filled = 0;

    // The nest in work: the loops that have iterations, a bit for each that belongs to the
    // reduction, and one for each that is at its end.
    const Nest* nest = nullptr;
    Loop loops[LEVELS];
    int depth;
    unsigned reduce, at_end;
    // Its next step.
    int advancing;  // the loop that advances after it
    bool final = false, row;
    int64_t nbin_end, sb;  // from the tails of the rings
    Given gives_up;

    void start(const Nest& next) {
        nest = &next;
        busy = true;
        depth = 0;
        reduce = at_end = 0;
        for (int n = 0; n < LEVELS; ++n) {
            const Level& level = next.levels[n];
            if (level.count == 1) continue;
            reduce |= unsigned(next.reduce >> n & 1) << depth;
            loops[depth++] = {level.count - 1, level.nbin_step - level.nbin_free,
                              level.sb_step - level.sb_free, level.nbin_free, level.sb_free, 0};
        }
        nbin_end = next.nbin + ti;
        sb = next.sb;
        look();
    }

    void advance() {
        Loop& loop = loops[advancing];
        for (int n = 0; n < advancing; ++n) loops[n].index = 0;
        at_end &= ~0u << advancing;
        if (++loop.index == loop.last) at_end |= 1u << advancing;
        nbin_end += loop.nbin;
        sb += loop.sb;
        look();
    }

    void look() {
        advancing = __builtin_ctz(~at_end);
        final = advancing == depth;
        gives_up = final ? Given{nest->nbin_free, nest->sb_free}
                         : Given{loops[advancing].nbin_free, loops[advancing].sb_free};
        row = nest->finishes && !(reduce & ~at_end);
    }
};
