// hw.diannao.store and hw.bus.write_dma: from finished rows to responses of the memory.
#pragma once

#include "bursts.h"
#include "queue.h"
#include "row_beats.h"
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
    int64_t stores_done = 0;  // as the other units see it in the next cycle
    bool left = false;        // a row left NBout in this cycle

    // `rows` are those of NBout.
    StoreUnit(const Machine& machine, const Transfer* transfers, Time* ends, Queue<Nothing>& rows)
        : slots(machine.queue),
          rows(rows),
          transfers(transfers),
          ends(ends),
          row_bytes(machine.row_bytes),
          two_cycles(machine.burst_cycles == 2),
          beats(machine.nbout_beat, row_bytes),
          bursts(machine.nbout_beat, machine.nbout_burst, two_cycles),
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
        const int64_t level = rows.level();
        make_beat();
        if (left) rows.pop();
        send_bursts(level);
        replies.edge();
        places.edge();
        work.edge();
    }

  private:
    Queue<Nothing>& rows;
    const Transfer* transfers;
    Time* ends;
    const int64_t row_bytes;
    const bool two_cycles;
    RowBeats beats;
    Bursts bursts;
    Queue<Nothing> work;
    Queue<Place> places{4};
    Queue<bool> replies;
    // Rows that bursts have claimed, and bytes of them that are left for the next burst.
    int64_t claimed = 0, spare = 0;
    bool permitted = false;

    // Into the register in front of W.
    void make_beat() {
        const bool ready = !link.beat || link.taken;
        if (ready) link.beat = link.taken = false;
        beats.look(places.valid() ? &places.front() : nullptr, rows.valid());
        beats.cycle(ready);
        if (beats.sent) {
            link.beat = true;
            if (beats.last) places.pop();
        }
        left = beats.popped;
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
