// hw.diannao.core, _with_dmas: control processor, loaders and store unit, each with its own DMA.
#pragma once

#include <vector>

#include "decoder.h"
#include "fetch.h"
#include "loaders.h"
#include "store.h"

class Dmas {
  public:
    // Of this cycle: elements and whether a row can be read from the next one on, whether a nest
    // is committed and one begun; whether a word was taken and a row left NBout.
    int64_t elements = 0;
    bool row = false, commits = false, begins = false, taken = false, left = false;

    // `rows` are those of NBout.
    Dmas(const Machine& machine, const Program& program, Result& result, Queue<Nothing>& rows)
        : fetch(machine, program),
          sb(machine, program.transfers[SB], result.ends[SB]),
          nbin(machine, program.transfers[NBIN], result.ends[NBIN]),
          store(machine, program.transfers[NBOUT], result.ends[NBOUT], rows),
          decoder(machine, program, sb.slots, nbin.slots, store.slots) {}

    std::vector<ReadLink*> readers(const Port& port) {
        ReadLink* const links[] = {&nbin.dma.link, &sb.dma.link, nullptr, &fetch.dma.link};
        std::vector<ReadLink*> own;
        for (int64_t stream : port.streams)
            if (stream >= 0) own.push_back(links[stream]);
        return own;
    }
    WriteLink& writer() { return store.link; }

    // The program has ended and everything has been done.
    bool drained() const {
        return ended && fetch.idle() && sb.slots.empty() && nbin.slots.empty() &&
               store.slots.empty() && nbin.idle() && sb.idle() && store.idle();
    }
    bool fencing() const { return nbin.fencing(store.stores_done); }

    void show() {}

    // One cycle, in which elements and rows become free, and there is a place for a nest or not.
    void cycle(Time now, int64_t nbin_free, int64_t sb_free, bool nests_ready) {
        elements = nbin.arrived;
        commits = decoder.commit;
        sb.cycle(now, sb_free);
        row = sb.arrived;
        nbin.cycle(now, nbin_free, store.stores_done);
        store.cycle(now);
        left = store.left;

        const bool ends = decoder.ended();
        taken = !ended && fetch.valid() && decoder.ready(nests_ready);
        if (!ended) {
            decoder.cycle(taken);
            fetch.cycle(taken);
        } else {
            fetch.halt();
        }
        begins = decoder.begun;
        ended |= ends;
        for (Slots* slots : {&sb.slots, &nbin.slots, &store.slots}) slots->edge();
    }

  private:
    Fetch fetch;
    SbLoader sb;
    NbinLoader nbin;
    StoreUnit store;
    Decoder decoder;
    bool ended = false;  // no more words are decoded
};
