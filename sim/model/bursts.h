// hw.bus.bursts: from descriptors to bursts.
#pragma once

#include "program.h"

// Of a power of two.
inline int bits_of(int64_t size) { return __builtin_ctzll(size); }

struct NextBurst {
    int64_t beats, bytes;
    int64_t start, end;  // offsets of the run's first and the burst's last byte in their beats
    bool first, last_of_run, last;
};

class Bursts {
  public:
    bool valid = false;
    NextBurst burst;

    // `beat` and `size` in bytes; `apart`: descriptors do not follow each other without a gap.
    Bursts(int64_t beat, int64_t size, bool apart)
        : beat(beat), size(size), beat_bits(bits_of(beat)), size_bits(bits_of(size)), apart(apart) {}

    bool idle() const { return !running && !valid; }

    // Whether a descriptor is accepted in this cycle, if the burst that is there is `taken`.
    bool ready(bool taken) const { return !running || (!apart && cuts(taken) && left == 1); }

    // `offered` is the descriptor that is there, or null.
    void edge(bool taken, const Transfer* offered) {
        const bool accepts = ready(taken), next = cuts(taken);
        if (taken && !burst.last_of_run) {
            burst.bytes = more ? size : finish + 1;
            burst.first = false;
            cut(0);
        }
        if (next) {
            valid = running;
            if (running) {
                begin_run();
                if (left == 1 && apart) running = false;
                advance();
            }
        }
        if (accepts) {
            running = offered != nullptr;
            if (running) begin(*offered);
        }
    }

    void clear() { running = valid = false; }

  private:
    const int64_t beat, size;
    const int beat_bits, size_bits;
    const bool apart;
    // The run that is next, of `left` ones.
    bool running = false;
    Transfer descriptor;
    int64_t starts[3], index[3], left = 0;
    // Pieces that follow the one in `burst`, and the last byte of the run in its last piece.
    int64_t more, finish;
    bool last;

    bool cuts(bool taken) const { return !valid || (taken && burst.last_of_run); }

    void begin(const Transfer& offered) {
        descriptor = offered;
        left = offered.count[0] * offered.count[1] * offered.count[2];
        for (int n = 0; n < 3; ++n) starts[n] = offered.address, index[n] = 0;
    }

    void begin_run() {
        const int64_t offset = starts[0] & (size - 1), end = offset + descriptor.run - 1;
        more = end >> size_bits;
        finish = end & (size - 1);
        last = left == 1;
        burst.start = offset & (beat - 1);
        burst.bytes = more ? size - offset : descriptor.run;
        burst.first = true;
        cut(offset);
    }

    // The piece that begins at `begin`; those behind it are counted.
    void cut(int64_t begin) {
        const int64_t end = more ? size - 1 : finish;
        burst.beats = (end >> beat_bits) - (begin >> beat_bits) + 1;
        burst.end = end & (beat - 1);
        burst.last_of_run = !more;
        burst.last = last && !more;
        --more;
    }

    void advance() {
        --left;
        for (int n = 0; n < 3; ++n) {
            if (++index[n] < descriptor.count[n]) {
                starts[n] += descriptor.stride[n];
                for (int inner = 0; inner < n; ++inner) starts[inner] = starts[n];
                return;
            }
            index[n] = 0;
        }
    }
};
