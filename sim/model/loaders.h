// hw.diannao.load: the loaders of SB and NBin.
#pragma once

#include "read_dma.h"
#include "slots.h"

class SbLoader {
  public:
    ReadDma dma;
    Slots slots;
    bool arrived = false;  // a row comes in this cycle

    SbLoader(const Machine& machine, const Transfer* transfers, Time* ends)
        : dma(machine, machine.sb_beat, machine.sb_burst),
          slots(machine.queue),
          transfers(transfers),
          ends(ends),
          work(machine.slots_in_work),
          rows(machine.sb_rows) {}

    bool idle() const { return dma.idle() && !slots.valid(); }

    // One cycle, in which `free` rows become free.
    void cycle(Time now, int64_t free) {
        dma.receive();
        arrived = dma.arrives && dma.word.last_of_run;
        if (arrived && dma.word.last) *ends++ = now + 1;
        const NextBurst* burst = dma.asking();
        const bool permits = burst && (!burst->first || rows > 0);
        rows += free - (permits && burst->first);

        const bool offers = slots.valid() && work.ready();
        if (dma.finished) work.pop();
        if (dma.issue(permits, offers ? &transfers[slots.front().number] : nullptr)) {
            slots.pop();
            work.push({});
        }
        work.edge();
    }

  private:
    const Transfer* transfers;
    Time* ends;
    Queue<Nothing> work;
    int64_t rows;  // free ones
};

class NbinLoader {
  public:
    ReadDma dma;
    Slots slots;
    int64_t arrived = 0;  // elements that came in the cycle before

    NbinLoader(const Machine& machine, const Transfer* transfers, Time* ends)
        : dma(machine, machine.nbin_beat, machine.nbin_burst),
          slots(machine.queue),
          transfers(transfers),
          ends(ends),
          beat(machine.nbin_beat),
          beat_bits(bits_of(beat)),
          element_bits(bits_of(machine.element_bytes)),
          lane_bits(beat_bits - element_bits),
          work(machine.slots_in_work),
          skips(machine.slots_in_work),
          words(machine.nbin_fifo + 1),
          room(machine.nbin_elements),
          places(machine.nbin_fifo + 1),
          space(machine.nbin_elements) {}

    bool idle() const { return dma.idle() && !slots.valid() && !words.level() && !left; }

    // Whether a slot waits for stores, of which so many are `done`.
    bool fencing(int64_t done) const {
        return slots.valid() && transfers[slots.front().number].fence && done < slots.front().stores;
    }

    // One cycle, in which `free` elements become free.
    void cycle(Time now, int64_t free, int64_t stores_done) {
        dma.receive();
        if (dma.arrives) {
            words.push({dma.word.bytes >> element_bits, dma.word.last ? skips.front() : 0, dma.word.last});
            if (dma.word.last) skips.pop();
        }
        const int64_t popped = split(now, free);
        permit(now, free, popped, stores_done);
        words.edge();
    }

  private:
    struct Elements {
        int64_t count, skip;
        bool last;
    };
    const Transfer* transfers;
    Time* ends;
    const int64_t beat;
    const int beat_bits, element_bits, lane_bits;
    Queue<Nothing> work;
    Queue<int64_t> skips;
    Queue<Elements> words;
    int64_t room, places, before = 0;  // for bursts
    int64_t space, left = 0;           // in the ring, and elements that wait for it

    // From the FIFO to the ring; returns the elements that leave the FIFO, below zero if none do.
    int64_t split(Time now, int64_t free) {
        int64_t popped = -1;
        const bool fits = left <= space;
        arrived = fits ? left : space;
        if (fits && words.valid()) {
            const Elements& word = words.front();
            popped = word.count;
            left = word.count + word.skip;
            if (word.last) *ends++ = now;
            words.pop();
        } else {
            left -= arrived;
        }
        space += free - arrived;
        return popped;
    }

    // Bursts go if all words up to their end have a place.
    void permit(Time, int64_t free, int64_t popped, int64_t stores_done) {
        const NextBurst* burst = dma.asking();
        bool permits = false;
        int64_t more = 0;
        if (burst) {
            const int64_t end = burst->bytes + (burst->first ? beat - 1 : before);
            more = end >> beat_bits;
            permits = more <= places || (room >= 0 && more <= places + (room >> lane_bits));
            if (permits) before = end & (beat - 1);
        }
        const bool offers =
            slots.valid() && work.ready() && skips.ready() && !fencing(stores_done);
        const Transfer* offered = offers ? &transfers[slots.front().number] : nullptr;
        room += free - (popped > 0 ? popped : 0);
        places += (popped >= 0) - (permits ? more : 0);
        if (dma.finished) work.pop();
        if (dma.issue(permits, offered)) {
            slots.pop();
            work.push({});
            skips.push(offered->skip);
            room -= offered->skip;
        }
        work.edge();
        skips.edge();
    }
};
