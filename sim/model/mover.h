// hw.diannao.engine.mover: what moves data in a core with an engine.
#pragma once

#include "engine.h"

class Mover {
  public:
    // Of this cycle: elements and whether a row can be read from the next one on, whether a nest
    // is committed and one begun; whether a word was taken and a row left NBout.
    int64_t elements = 0;
    bool row = false, commits = false, begins = false, taken = false, left = false;

    // `rows` are those of NBout.
    Mover(const Machine& machine, const Program& program, Result& result, Queue<Nothing>& rows)
        : rows(rows),
          halves(machine.nbin_beat / HALF_BYTES),
          most(machine.buffer_beats - machine.nbin_burst / machine.nbin_beat),
          decoder(machine, program),
          engine(machine, program, result),
          landing(machine),
          beats(machine.nbin_beat, machine.row_bytes),
          buffer(machine.buffer_beats + 1) {}

    std::vector<ReadLink*> readers(const Port&) { return {&landing.link}; }
    WriteLink& writer() { return engine.write; }

    // The program has ended and everything has been done.
    bool drained() const { return ended && engine.empty() && engine.idle() && landing.idle(); }
    bool fencing() const { return engine.fencing(); }

    void show() {
        landing.show();
        engine.show(landing.link);
        beats.look(sending ? &place : nullptr, rows.valid());
        engine.write.beat = beats.offers;
    }

    // One cycle, in which elements and rows become free, and there is a place for a nest or not.
    void cycle(Time now, int64_t nbin_free, int64_t sb_free, bool nests_ready) {
        elements = landing.elements;
        row = landing.row;
        commits = decoder.commit;
        const int64_t level = rows.level();
        beats.cycle(engine.write.taken);
        left = beats.popped;
        if (left) rows.pop();

        const bool free = !engine.writes(), ends = decoder.ended();
        const Kind next = decoder.next();
        const bool room = next == NFU ? nests_ready : engine.has_room(next);
        taken = !ended && buffer.valid() && decoder.ready(room, free);
        if (!ended) decoder.cycle(taken, free);
        begins = decoder.begun;
        ended |= ends;

        const bool buffer_room = buffer.level() <= most;
        landing.cycle(engine.skips(), engine.sb_row());
        engine.cycle(now, level, left, buffer_room, landing, nbin_free, sb_free, decoder.committed);
        cut(taken);
        if (beats.sent && beats.last) sending = false;
        if (engine.write.sent) {
            place = engine.place;
            sending = true;
        }
        landing.edge();
        buffer.edge();
    }

  private:
    Queue<Nothing>& rows;
    const int64_t halves;  // of a beat
    const int64_t most;    // beats in the buffer with room for a burst
    HalfDecoder decoder;
    Engine engine;
    Landing landing;
    RowBeats beats;
    Queue<Nothing> buffer;
    int64_t half = 0;  // the next one of its beat
    bool ended = false;
    // The burst whose beats are sent.
    bool sending = false;
    Place place;

    // Beats of the program into half words.
    void cut(bool taken) {
        if (landing.program) buffer.push({});
        if (!taken) return;
        half = half + 1 == halves ? 0 : half + 1;
        if (!half) buffer.pop();
    }
};
