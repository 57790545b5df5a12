// hw.bus.row_beats: from finished rows to the beats of bursts.
#pragma once

#include "program.h"

// A burst whose beats have to be sent: hw.bus.row_beats.PlaceLayout.
struct Place {
    int64_t beats, start, end;
    bool first, last_of_run;
};

class RowBeats {
  public:
    bool offers = false;  // a beat is there
    bool sent = false;    // and goes on in this cycle
    bool last;            // it is the last one of its burst
    bool popped = false;  // a row is taken in this cycle

    RowBeats(int64_t beat_bytes, int64_t row_bytes)
        : beat_bytes(beat_bytes),
          row_bytes(row_bytes),
          pieces((row_bytes + beat_bytes - 1) / beat_bytes) {}

    // First half of a cycle: what is there of a burst, null if none is, and whether a row is there.
    void look(const Place* place, bool row_there) {
        offers = false;
        burst = place;
        row = row_there;
        if (!place) return;
        last = beat == place->beats - 1;
        closing = place->last_of_run && last;
        ending = index == pieces - 1;
        const int64_t high = closing ? place->end : beat_bytes - 1;
        const int64_t fill = place->first && !beat && !begun ? place->start : held;
        total = fill + (ending ? row_bytes - (pieces - 1) * beat_bytes : beat_bytes);
        enough = fill > high;
        complete = total > high;
        offers = enough || (row && complete);
    }

    // Second half, in which a beat that is there can go on if `ready`.
    void cycle(bool ready) {
        sent = offers && ready;
        popped = false;
        if (!burst) return;
        const bool used = row && !enough && (sent || !complete);
        if (used) {
            held = total & (beat_bytes - 1);
            begun = true;
        }
        if (sent) {
            begun = false;
            beat = last ? 0 : beat + 1;
        }
        popped = sent && closing ? used || index : used && ending;
        index = popped ? 0 : index + used;
    }

  private:
    const int64_t beat_bytes, row_bytes, pieces;
    // The next piece of the row, the next beat of the burst, and what is held of that.
    int64_t index = 0, beat = 0, held = 0;
    bool begun = false;
    // Of this cycle.
    const Place* burst = nullptr;
    int64_t total;
    bool row, closing, ending, enough, complete;
};
