// hw.diannao.store and hw.bus.write_dma: from finished rows to responses of the memory.
#pragma once

#include "bursts.h"
#include "queue.h"
#include "slots.h"

// AW, W and B. Responses are always taken.
struct WriteLink {
    bool valid = false, sent = false;  // an address is there, and goes on in this cycle
    int64_t beats;                     // of its burst
    bool beat = false, taken = false;  // so is a beat
    bool reply = false;                // a response comes in this cycle
};

class StoreUnit {
  public:
    WriteLink link;
    Slots slots;
    Queue<Nothing> ring;        // NBout's rows
    int64_t stores_done = 0;    // as the other units see it in the next cycle
    bool left = false;          // a row left the ring in this cycle

    StoreUnit(const Machine& machine, const Transfer* transfers, Time* ends)
        : slots(machine.queue),
          ring(machine.nbout_rows),
          transfers(transfers),
          ends(ends),
          beat_bytes(machine.nbout_beat),
          row_bytes(machine.row_bytes),
          pieces((row_bytes + beat_bytes - 1) / beat_bytes),
          two_cycles(machine.burst_cycles == 2),
          bursts(beat_bytes, machine.nbout_burst, two_cycles),
          work(machine.slots_in_work),
          replies(machine.outstanding < 2 ? 2 : machine.outstanding) {}

    bool idle() const { return bursts.idle() && !replies.level(); }

    void cycle(Time now) {
        const bool done = link.reply && replies.front();
        if (link.reply) replies.pop();
        if (done) {
            ++stores_done;
            *ends++ = now;
            work.pop();
        }
        const int64_t level = ring.level();
        make_beat();
        if (left) ring.pop();
        send_bursts(level);
        replies.edge();
        places.edge();
        work.edge();
    }

  private:
    struct Place {
        int64_t beats, start, end;
        bool first, last_of_run;
    };
    const Transfer* transfers;
    Time* ends;
    const int64_t beat_bytes, row_bytes, pieces;
    const bool two_cycles;
    Bursts bursts;
    Queue<Nothing> work;
    Queue<Place> places{4};
    Queue<bool> replies;
    // Rows that bursts have claimed, and bytes of them that are left for the next burst.
    int64_t claimed = 0, spare = 0;
    bool permitted = false;
    // The next piece of the row, the next beat of the burst, and what is held of that.
    int64_t index = 0, beat = 0, held = 0;
    bool begun = false;

    // hw.bus.write_dma._Beats
    void make_beat() {
        left = false;
        const bool ready = !link.beat || link.taken;
        if (ready) link.beat = link.taken = false;
        if (!places.valid()) return;
        const Place& place = places.front();
        const bool last_beat = beat == place.beats - 1;
        const bool closing = place.last_of_run && last_beat, ending = index == pieces - 1;
        const int64_t high = closing ? place.end : beat_bytes - 1;
        const int64_t fill = place.first && !beat && !begun ? place.start : held;
        const int64_t total =
            fill + (ending ? row_bytes - (pieces - 1) * beat_bytes : beat_bytes);
        const bool enough = fill > high, complete = total > high, row = ring.valid();
        const bool sent = ready && (enough || (row && complete));
        const bool used = row && !enough && (sent || !complete);
        if (used) {
            held = total & (beat_bytes - 1);
            begun = true;
        }
        if (sent) {
            begun = false;
            beat = last_beat ? 0 : beat + 1;
            link.beat = true;
            if (last_beat) places.pop();
        }
        left = sent && closing ? used || index : used && ending;
        index = left ? 0 : index + used;
    }

    void send_bursts(int64_t level) {
        bool taken = false, claims = false;
        if (bursts.valid) {
            const NextBurst& burst = bursts.burst;
            const int64_t lacking = burst.bytes - spare, lacking_after = lacking - row_bytes;
            claims = lacking > 0 && level != claimed;
            const bool allowed = lacking <= 0 || (claims && lacking_after <= 0);
            taken = (two_cycles ? permitted && !link.valid
                                : allowed && (!link.valid || link.sent)) &&
                    places.ready() && replies.ready();
            permitted = allowed && !taken;
            if (taken) {
                spare = burst.last_of_run ? 0 : claims ? -lacking_after : -lacking;
            } else if (claims) {
                spare += row_bytes;
            }
        } else {
            permitted = false;
        }
        claimed += claims - left;
        if (link.sent) link.valid = link.sent = false;
        if (taken) {
            const NextBurst& burst = bursts.burst;
            link.valid = true;
            link.beats = burst.beats;
            places.push({burst.beats, burst.start, burst.end, burst.first, burst.last_of_run});
            replies.push(burst.last);
        }
        const bool offers = slots.valid() && work.ready();
        const Transfer* offered = offers ? &transfers[slots.front().number] : nullptr;
        if (offered && bursts.ready(taken)) {
            slots.pop();
            work.push({});
        }
        bursts.edge(taken, offered);
    }
};
