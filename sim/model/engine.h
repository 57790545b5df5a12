// hw.diannao.engine.engine: makes the bursts of all units, one after the other.
#pragma once

#include "bursts.h"
#include "half_decoder.h"
#include "landing.h"
#include "row_beats.h"
#include "store.h"

class Engine {
  public:
    WriteLink write;
    Place place;  // of the burst that is sent to AW

    Engine(const Machine& machine, const Program& program, Result& result)
        : beat(machine.nbin_beat),
          beat_bits(bits_of(beat)),
          size(machine.nbin_burst),
          element_bytes(machine.element_bytes),
          row_bytes(machine.row_bytes),
          banks(machine.queue + 1),
          program(program),
          ends{nullptr, result.ends[SB], result.ends[NBIN], result.ends[NBOUT]},
          fences(new int64_t[banks]()),
          room(machine.nbin_elements * element_bytes),
          rows_left(machine.sb_rows) {
        // In the cycle of the start.
        a = program.address;
        r = program.words * machine.word_bytes;
    }

    bool idle() const { return state == IDLE && !writing; }
    bool empty() const { return !has(SB) && !has(NBIN) && !has(NBOUT); }
    bool has_room(Kind kind) const { return begun[kind] - done[kind] != banks; }
    bool fencing() const { return has(NBIN) && done[NBOUT] < fences[done[NBIN] % banks]; }

    // What it does in this cycle, whatever else happens in it.
    bool writes() const {  // its memory
        switch (state) {
            case GATHER: return unit().left[0] != 1;
            case COUNT: return unit().left[n] != 1;
            case ADVANCE: case SHORTEN: case SKIP: case RESTART: case COUNT_0: case START_0:
            case COUNT_1: case START_1: case NEXT: case RUN: return true;
            default: return false;
        }
    }
    int64_t skips() const { return state == PASS ? p : 0; }  // bytes of NBin
    int64_t sb_row() const { return sb_row_bytes; }

    // What the bus gets to see in this cycle.
    void show(ReadLink& read) {
        const int64_t last_byte = (a & (beat - 1)) + p - 1;
        read.sent = write.sent = false;
        read.valid = state == SEND && client != NBOUT;
        write.valid = state == SEND && client == NBOUT;
        read.beats = write.beats = (last_byte >> beat_bits) + 1;
        end = last_byte & (beat - 1);
    }

    // One cycle: of `rows` in NBout, one is `popped` or not; the program's buffer has room for a
    // burst or not; the decoder commits a slot or none (KINDS).
    void cycle(Time now, int64_t rows, bool popped, bool buffer_room, Landing& landing,
               int64_t nbin_free, int64_t sb_free, Kind committed) {
        const bool stored = nbout_last && !writing;
        skipped = false;
        step(rows, buffer_room, landing);

        if (write.reply) writing = false;
        if (landing.landed == CP) fetched = false;
        if (landing.ended == SB) {
            sb_last = false;
            finish(SB, now);
        }
        if (landing.ended == NBIN) phase = READ_SKIP;
        if (skipped) {
            phase = RUNS;
            finish(NBIN, now);
        }
        if (stored) {
            nbout_last = false;
            finish(NBOUT, now);
        }
        claimed -= popped;
        room += nbin_free * element_bytes;
        rows_left += sb_free;
        if (committed != KINDS) commit(committed);
    }

  private:
    enum State {
        IDLE, LOOK, BEGIN, ADDRESS, SPAN, TRIM, GATHER, LENGTHEN, ROOM, CLAIM, PASS, SEND, ADVANCE,
        SHORTEN, DOUBLE, SKIP, LOOP, COUNT, STRIDE, MOVE, RESTART, COUNT_0, START_0, COUNT_1, START_1, NEXT,
        RUN, ROW, LAST
    };
    enum Phase { RUNS, AFTER, READ_SKIP, SKIPS };  // of NBin's slot
    // A slot in work: rows of the engine's memory.
    struct Unit {
        const Transfer* slot;
        int64_t next, rest, left[3], start[3];
        bool fresh = true;
    };
    const int64_t beat, beat_bits, size, element_bytes, row_bytes, banks;
    const Program& program;
    Time* ends[KINDS];
    Unit units[NFU] = {};  // of CP, too
    // Slots that were committed and that are done, and how many stores NBin's slots wait for.
    int64_t begun[NFU] = {}, done[NFU] = {};
    std::unique_ptr<int64_t[]> fences;

    State state = ADVANCE;
    Kind client = CP;
    int64_t a, r, p = 0;  // an address, what is left, bytes of a burst
    int n = 0;            // the loop that advances
    bool contiguous = false, aligned = false;
    int64_t sb_row_bytes = 0;
    bool sb_last = false, nbout_last = false, nbout_first = false;
    Phase phase = RUNS;
    bool writing = false, fetches = true, fetched = false;
    bool skipped;  // NBin is through with a slot in this cycle
    // Room in the buffers, and what bursts have claimed of NBout.
    int64_t room, rows_left;
    bool row_claimed = false, is_short = false;
    int64_t spare = 0, claimed = 0;
    int64_t end = 0;  // offset of the burst's last byte in its beat

    bool has(Kind kind) const { return begun[kind] != done[kind]; }
    Unit& unit() { return units[client]; }
    const Unit& unit() const { return units[client]; }
    bool skipping() const { return client == NBIN && phase == SKIPS; }

    void commit(Kind kind) {
        if (kind == NBIN) {
            const bool fence = program.transfers[NBIN][begun[NBIN]].fence;
            fences[begun[NBIN] % banks] = fence ? begun[NBOUT] : 0;
        }
        ++begun[kind];
    }

    void finish(Kind kind, Time now) {
        *ends[kind]++ = now;
        ++done[kind];
        units[kind].fresh = true;
    }

    bool requests(Kind kind, int64_t rows, bool buffer_room, bool flight) const {
        const bool fresh = units[kind].fresh;
        switch (kind) {
            case CP: return fetches && !fetched && buffer_room && flight;
            case SB: return has(SB) && !sb_last && flight && (fresh || row_claimed || rows_left);
            case NBIN:
                if (!has(NBIN) || fencing()) return false;
                if (phase == RUNS) return flight && (fresh || room);
                return phase == READ_SKIP || (phase == SKIPS && room);
            default:
                return has(NBOUT) && !nbout_last && !writing &&
                       (fresh || !is_short || rows != claimed);
        }
    }

    void step(int64_t rows, bool buffer_room, Landing& landing) {
        Unit& own = unit();
        switch (state) {
            case IDLE:
                for (int distance = 1; distance <= 4; ++distance) {
                    const Kind kind = Kind((client + distance) % 4);
                    if (!requests(kind, rows, buffer_room, landing.ready())) continue;
                    client = kind;
                    state = LOOK;
                    break;
                }
                break;
            case LOOK:
                state = ADDRESS;
                if (own.fresh && client != CP) state = BEGIN;
                if (client == NBIN && phase == READ_SKIP) state = element_bytes == 1 ? SKIP : DOUBLE;
                break;
            case BEGIN:
                own.slot = &program.transfers[client][done[client]];
                a = own.slot->address;
                own.left[2] = own.slot->count[2];
                n = 2;
                state = RESTART;
                break;

            // A burst of the run.
            case ADDRESS:
                a = own.next;
                state = SPAN;
                break;
            case SPAN:
                r = own.rest;
                p = size - (skipping() ? 0 : a & (size - 1));
                if (client == SB) {
                    rows_left -= !row_claimed;
                    row_claimed = true;
                }
                state = TRIM;
                break;
            case TRIM: {
                const bool fits = p <= r;
                state = client == NBIN ? ROOM : client == NBOUT ? CLAIM : SEND;
                if (client == SB && !fits && contiguous && aligned && rows_left) {
                    state = GATHER;
                } else if (!fits) {
                    p = r;
                }
                break;
            }
            case GATHER:
                if (own.left[0] == 1) {
                    p = r;
                    state = SEND;
                } else {
                    --own.left[0];
                    --rows_left;
                    state = LENGTHEN;
                }
                break;
            case LENGTHEN:
                r += own.slot->run;
                state = TRIM;
                break;
            case ROOM:
                p = p <= room ? p : room;
                state = skipping() ? PASS : SEND;
                break;
            case CLAIM:
                is_short = false;
                if (p <= spare) {
                    state = SEND;
                } else if (rows != claimed) {
                    ++claimed;
                    spare += row_bytes;
                } else {
                    is_short = true;
                    state = IDLE;
                }
                break;
            case PASS:
                room -= p;
                state = ADVANCE;
                break;
            case SEND:
                if (!landing.link.sent && !write.sent) break;
                send(landing);
                state = ADVANCE;
                break;
            case ADVANCE:
                own.next = a + p;
                state = SHORTEN;
                break;
            case SHORTEN:
                own.rest = r - p;
                state = IDLE;
                if (own.rest) break;
                n = 0;
                if (client == SB) row_claimed = false;
                if (client == CP) fetches = false;
                else if (skipping()) skipped = true;
                else state = LOOP;
                break;
            case DOUBLE:
                state = SKIP;
                break;
            case SKIP:
                own.rest = own.slot->skip * element_bytes;
                if (own.rest) phase = SKIPS;
                else skipped = true;
                state = IDLE;
                break;

            // The innermost loop with an iteration left advances, those inside it start over.
            case LOOP:
                state = COUNT;
                break;
            case COUNT:
                if (own.left[n] != 1) {
                    --own.left[n];
                    state = STRIDE;
                } else if (n == 2) {
                    state = LAST;
                } else {
                    ++n;
                    state = LOOP;
                }
                break;
            case STRIDE: {
                const bool follows = client == SB && contiguous && n == 0;
                a = follows ? own.next : own.start[n];
                state = follows ? RESTART : MOVE;
                break;
            }
            case MOVE:
                a += own.slot->stride[n];
                state = RESTART;
                break;
            case RESTART:
                own.start[n] = a;
                state = n == 0 ? NEXT : COUNT_0;
                break;
            case COUNT_0:
                own.left[0] = own.slot->count[0];
                state = START_0;
                break;
            case START_0:
                own.start[0] = a;
                state = n == 1 ? NEXT : COUNT_1;
                break;
            case COUNT_1:
                own.left[1] = own.slot->count[1];
                state = START_1;
                break;
            case START_1:
                own.start[1] = a;
                state = NEXT;
                break;
            case NEXT:
                own.next = a;
                state = RUN;
                break;
            case RUN:
                r = own.rest = own.slot->run;
                if (client == NBOUT) nbout_first = true;
                if (client == SB) aligned = !(a & (beat - 1));
                state = client == SB && own.fresh ? ROW : IDLE;
                own.fresh = false;
                break;
            case ROW:
                contiguous = own.slot->stride[0] == r;
                sb_row_bytes = r;
                state = IDLE;
                break;
            case LAST:
                if (client != NBOUT) {
                    if (!landing.ready()) break;
                    landing.push({client, true, 0, 0});
                }
                if (client == SB) sb_last = true;
                if (client == NBIN) phase = AFTER;
                if (client == NBOUT) nbout_last = true;
                state = IDLE;
                break;
        }
    }

    void send(Landing& landing) {
        const int64_t start = a & (beat - 1);
        if (client != NBOUT) {
            landing.push({client, false, start, end});
            if (client == CP) fetched = true;
            if (client == NBIN) room -= p;
            return;
        }
        const bool last_of_run = r == p;
        place = {write.beats, start, end, nbout_first, last_of_run};
        writing = true;
        nbout_first = false;
        spare = last_of_run ? 0 : spare - p;
    }
};
