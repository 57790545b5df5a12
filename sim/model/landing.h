// hw.diannao.engine.landing: from beats to NBin, SB and the program.
#pragma once

#include "bursts.h"
#include "queue.h"
#include "read_dma.h"

// A burst in flight, or a mark behind the bursts of a slot.
struct Flight {
    Kind client;
    bool mark;
    int64_t start, end;  // offsets of the burst's first and last byte in their beats
};

class Landing {
  public:
    ReadLink link;
    int64_t elements = 0;   // that came in the cycle before
    bool row = false;       // a row of SB did
    Kind ended = KINDS;     // whose mark comes in this cycle
    Kind landed = KINDS;    // whose burst ends in this cycle
    bool program = false;   // a beat of the program comes in this cycle

    explicit Landing(const Machine& machine)
        : beat(machine.nbin_beat),
          element_bytes(machine.element_bytes),
          outstanding(machine.outstanding),
          flight(outstanding < 2 ? 2 : outstanding) {}

    bool idle() const { return !flight.level(); }
    bool ready() const { return flight.ready() && flight.level() < outstanding; }
    void push(const Flight& burst) { flight.push(burst); }

    // What the bus gets to see in this cycle.
    void show() { link.ready = flight.valid() && !flight.front().mark; }

    // One cycle, in which NBin skips bytes; SB's rows have `row_bytes`.
    void cycle(int64_t skip, int64_t row_bytes) {
        ended = landed = KINDS;
        program = row = false;
        elements = 0;
        if (skip) append(skip);
        if (!flight.valid()) return;
        const Flight& burst = flight.front();
        if (burst.mark) {
            ended = burst.client;
        } else if (link.beat) {
            const int64_t low = opening ? burst.start : 0, high = link.last ? burst.end : beat - 1;
            take(burst.client, high - low + 1, row_bytes);
            opening = link.last;
            if (link.last) landed = burst.client;
        }
        if (ended != KINDS || landed != KINDS) flight.pop();
    }

    void edge() { flight.edge(); }

  private:
    const int64_t beat, element_bytes, outstanding;
    Queue<Flight> flight;
    bool opening = true;  // the next beat is the first of its burst
    // Bytes of NBin's element and of SB's row that are not complete.
    int64_t of_element = 0, of_row = 0;

    void take(Kind client, int64_t bytes, int64_t row_bytes) {
        if (client == CP) program = true;
        if (client == NBIN) append(bytes);
        if (client != SB) return;
        of_row += bytes;
        row = of_row >= row_bytes;
        if (row) of_row -= row_bytes;
    }

    void append(int64_t bytes) {
        of_element += bytes;
        elements = of_element / element_bytes;
        of_element %= element_bytes;
    }
};
