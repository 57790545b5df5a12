// A core and its memory, cycle by cycle: who waits for whom, without data (hw.diannao.core).
#include "dmas.h"
#include "mover.h"
#include "nfu.h"
#include "on_chip.h"
#include "ports.h"
#include "sequencer.h"

namespace {

// `Way` is what moves data: Dmas or Mover.
template <class Way>
class Core {
  public:
    Core(const Machine& machine, const Settings& settings, const Port* descriptions, int count,
         const Program& program, Result& result)
        : memory(settings),
          nbout(machine.nbout_rows),
          way(machine, program, result, nbout),
          sequencer(machine, program.nests, result.ends[NFU], result.stalls),
          nfu(machine) {
        if (machine.on_chip) {
            ports.emplace_back(new OnChip(memory, descriptions[0].width,
                                          way.readers(descriptions[0]), way.writer()));
            return;
        }
        for (int number = 0; number < count; ++number) {
            const Port& port = descriptions[number];
            if (port.writes)
                ports.emplace_back(new WriteMemory(memory, number, port.width, way.writer()));
            else
                ports.emplace_back(new ReadMemory(memory, number, port.width, way.readers(port)));
        }
    }

    // Until everything is done, at most `patience` cycles after something moved; returns the number
    // of cycles, or -1 if it never ends.
    Time run(Time patience) {
        Time moved = 0;
        // Cycle 0 is that of the start, in which the units do nothing.
        for (Time now = 1; now - moved <= patience; ++now) {
            if (way.drained() && sequencer.idle()) {
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
    Queue<Nothing> nbout;  // its finished rows
    Way way;
    Sequencer sequencer;
    Nfu nfu;
    std::vector<std::unique_ptr<MemoryPort>> ports;

    // Units see of each other what was there before this cycle, or what is passed on to them. So
    // those come first that take something.
    bool cycle(Time now) {
        bool moves = false;
        way.show();
        memory.refill();
        const int count = int(ports.size());
        for (int n = 0, port = memory.turn; n < count; ++n, port = port + 1 == count ? 0 : port + 1)
            moves |= ports[port]->cycle();
        ++memory.now;

        nfu.look(nbout.ready());
        if (nfu.leaves) nbout.push({});
        Step step{};
        if (!sequencer.busy) {
            sequencer.stall(INSTRUCTION_STALL);
        } else if (sequencer.waits_for_sb()) {
            sequencer.stall(SB_STALL);
        } else if (sequencer.waits_for_nbin()) {
            sequencer.stall(way.fencing() ? STORE_STALL : NBIN_STALL);
        } else if (!nfu.ready(sequencer.finishes(), sequencer.loads_table())) {
            sequencer.stall(NBOUT_STALL);
        } else {
            step = {true, sequencer.finishes(), sequencer.loads_table(), sequencer.nbin_free(),
                    sequencer.sb_free()};
        }
        nfu.cycle(step, way.left);
        way.cycle(now, nfu.nbin_free, nfu.sb_free, sequencer.ready());
        sequencer.cycle(now, step.valid, way.commits, way.elements, way.row);
        sequencer.edge(way.begins);
        nbout.edge();
        return moves || step.valid || way.taken;
    }
};

}  // namespace

extern "C" __attribute__((visibility("default"))) Time model_run(
    const Machine* machine, const Settings* settings, const Port* ports, int count,
    const Program* program, Result* result, Time patience) {
    if (machine->engine)
        return Core<Mover>(*machine, *settings, ports, count, *program, *result).run(patience);
    return Core<Dmas>(*machine, *settings, ports, count, *program, *result).run(patience);
}
