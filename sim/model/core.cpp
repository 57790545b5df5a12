// A core and its memory, cycle by cycle: who waits for whom, without data (hw.diannao.core).
#include "decoder.h"
#include "fetch.h"
#include "loaders.h"
#include "nfu.h"
#include "ports.h"
#include "sequencer.h"

namespace {

class Core {
  public:
    Core(const Machine& machine, const Settings& settings, const Port* descriptions, int count,
         const Program& program, Result& result)
        : memory(settings),
          fetch(machine, program),
          sb(machine, program.transfers[SB], result.ends[SB]),
          nbin(machine, program.transfers[NBIN], result.ends[NBIN]),
          store(machine, program.transfers[NBOUT], result.ends[NBOUT]),
          decoder(machine, program, sb.slots, nbin.slots, store.slots),
          sequencer(machine, program.nests, result.ends[NFU], result.stalls),
          nfu(machine) {
        ReadLink* readers[] = {&nbin.dma.link, &sb.dma.link, nullptr, &fetch.dma.link};
        for (int number = 0; number < count; ++number) {
            const Port& port = descriptions[number];
            if (port.writes) {
                ports.emplace_back(new WriteMemory(memory, number, port.width, store.link));
                continue;
            }
            std::vector<ReadLink*> links;
            for (int64_t stream : port.streams)
                if (stream >= 0) links.push_back(readers[stream]);
            ports.emplace_back(new ReadMemory(memory, number, port.width, links));
        }
    }

    // Until everything is done, at most `patience` cycles after something moved; returns the number
    // of cycles, or -1 if it never ends.
    Time run(Time patience) {
        Time moved = 0;
        // Cycle 0 is that of the start, in which the units do nothing.
        for (Time now = 1; now - moved <= patience; ++now) {
            if (ended && drained()) {
                sequencer.stall(INSTRUCTION_STALL);
                sequencer.stall(INSTRUCTION_STALL);  // and while the units are reset
                return now + 1;
            }
            if (cycle(now)) moved = now;
        }
        return -1;
    }

  private:
    Memory memory;
    Fetch fetch;
    SbLoader sb;
    NbinLoader nbin;
    StoreUnit store;
    Decoder decoder;
    Sequencer sequencer;
    Nfu nfu;
    std::vector<std::unique_ptr<MemoryPort>> ports;
    bool ended = false;  // no more words are decoded

    bool drained() const {
        return fetch.idle() && sb.slots.empty() && nbin.slots.empty() && store.slots.empty() &&
               nbin.idle() && sb.idle() && sequencer.idle() && store.idle();
    }

    // Units see of each other what was there before this cycle, or what is passed on to them. So
    // those come first that take something.
    bool cycle(Time now) {
        bool moves = false;
        memory.refill();
        const int count = int(ports.size());
        for (int n = 0, port = memory.turn; n < count; ++n, port = port + 1 == count ? 0 : port + 1)
            moves |= ports[port]->cycle();
        ++memory.now;

        nfu.look(store.ring.ready());
        if (nfu.leaves) store.ring.push({});
        Step step{};
        if (!sequencer.busy) {
            sequencer.stall(INSTRUCTION_STALL);
        } else if (sequencer.waits_for_sb()) {
            sequencer.stall(SB_STALL);
        } else if (sequencer.waits_for_nbin()) {
            sequencer.stall(nbin.fencing(store.stores_done) ? STORE_STALL : NBIN_STALL);
        } else if (!nfu.ready(sequencer.finishes(), sequencer.loads_table())) {
            sequencer.stall(NBOUT_STALL);
        } else {
            step = {true, sequencer.finishes(), sequencer.loads_table(), sequencer.nbin_free(),
                    sequencer.sb_free()};
        }
        nfu.cycle(step, store.left);

        const int64_t elements = nbin.arrived;
        sb.cycle(now, nfu.sb_free);
        nbin.cycle(now, nfu.nbin_free, store.stores_done);
        sequencer.cycle(now, step.valid, decoder.commit, elements, sb.arrived);
        store.cycle(now);

        const bool ends = decoder.ended();
        const bool taken = !ended && fetch.valid() && decoder.ready(sequencer.ready());
        if (!ended) {
            decoder.cycle(taken);
            fetch.cycle(taken);
        } else {
            fetch.halt();
        }
        ended |= ends;
        sequencer.edge(decoder.begun);
        store.ring.edge();
        for (Slots* slots : {&sb.slots, &nbin.slots, &store.slots}) slots->edge();
        return moves || step.valid || taken;
    }
};

}  // namespace

extern "C" __attribute__((visibility("default"))) Time model_run(
    const Machine* machine, const Settings* settings, const Port* ports, int count,
    const Program* program, Result* result, Time patience) {
    return Core(*machine, *settings, ports, count, *program, *result).run(patience);
}
