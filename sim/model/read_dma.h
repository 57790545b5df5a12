// hw.bus.read_dma and hw.bus.realigner: from descriptors to addresses, and from beats to words.
#pragma once

#include "bursts.h"
#include "queue.h"

// AR and R of one reader. No burst is sent before its words have room, so DMAs take every beat.
struct ReadLink {
    bool valid = false;  // an address is there
    bool sent = false;   // and goes on in this cycle
    int64_t beats;       // of its burst
    bool ready = true;   // a beat is taken if it comes
    bool beat = false;   // one comes in this cycle, and is taken
    bool last;           // of its burst
};

struct Word {
    int64_t bytes;
    bool last_of_run, last;
};

class ReadDma {
  public:
    ReadLink link;
    bool arrives = false;   // a word leaves in this cycle
    Word word;              // if so
    bool finished = false;  // the last beat of a descriptor comes in this cycle

    ReadDma(const Machine& machine, int64_t beat, int64_t burst, bool aligned = false)
        : beat(beat),
          outstanding(machine.outstanding),
          two_cycles(machine.burst_cycles == 2),
          aligned(aligned),
          bursts(beat, burst, two_cycles),
          flight(outstanding < 2 ? 2 : outstanding) {}

    bool idle() const { return bursts.idle() && !flight.level() && !occupied; }

    // The burst that asks for room; null if none does.
    const NextBurst* asking() const { return bursts.valid && !permitted ? &bursts.burst : nullptr; }

    // First half of a cycle: what comes.
    void receive() {
        arrives = finished = false;
        const Place* place = nullptr;
        if (link.beat) {
            place = &flight.front();
            finished = link.last && place->last;
            if (link.last) flight.pop();
        }
        if (aligned) {
            arrives = link.beat;
            if (arrives) word = {last_of_run(*place) ? place->end + 1 : beat, false, false};
        } else if (link.beat || occupied) {
            realign(place);
        }
    }

    // Second half: what goes. `permits` answers `asking`, `offered` is a descriptor that is there,
    // or null; returns whether it is accepted.
    bool issue(bool permits, const Transfer* offered) {
        bool taken = false;
        if (bursts.valid) {
            const bool allowed = permitted || permits;
            const bool room = flight.ready() && flight.level() < outstanding;
            taken = two_cycles ? permitted && room && !link.valid
                               : allowed && room && (!link.valid || link.sent);
            permitted = allowed && !taken;
        }
        if (link.sent) link.valid = link.sent = false;
        if (taken) {
            const NextBurst& burst = bursts.burst;
            link.valid = true;
            link.beats = burst.beats;
            flight.push({burst.start, burst.end, burst.last_of_run, burst.last});
        }
        const bool accepted = offered && bursts.ready(taken);
        bursts.edge(taken, offered);
        flight.edge();
        return accepted;
    }

    // Both halves while it is halted: nothing goes, and what comes is dropped.
    void drop() {
        bursts.clear();
        if (link.beat && link.last) flight.pop();
        if (link.sent) link.valid = link.sent = false;
        flight.edge();
    }

  private:
    struct Place {
        int64_t start, end;
        bool last_of_run, last;
    };
    const int64_t beat, outstanding;
    const bool two_cycles, aligned;
    Bursts bursts;
    Queue<Place> flight;
    bool permitted = false;
    // What the realigner holds.
    bool occupied = false;
    Place held;

    bool last_of_run(const Place& place) const { return place.last_of_run && link.last; }

    void realign(const Place* place) {
        const bool alone = occupied && (held.last_of_run || held.start == 0);
        bool spent = false;
        if (occupied && (alone || place)) {
            spent = !held.last_of_run && place && last_of_run(*place) && place->end < held.start;
            arrives = true;
            const bool partial = held.last_of_run || spent;
            const int64_t end = held.last_of_run ? held.end : spent ? place->end : 0;
            word.bytes = partial ? ((end - held.start) & (beat - 1)) + 1 : beat;
            word.last_of_run = partial;
            word.last = held.last_of_run ? held.last : spent && place->last && link.last;
        }
        if (place) {
            occupied = !spent;
            held = {place->start, place->end, last_of_run(*place), place->last && link.last};
        } else if (arrives) {
            occupied = false;
        }
    }
};
