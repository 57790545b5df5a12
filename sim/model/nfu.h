// hw.diannao.operands, hw.diannao.pace and hw.nfu: the pipeline from the sequencer to NBout.
#pragma once

#include <algorithm>

#include "program.h"

constexpr int OPERAND_STAGES = 5;  // at most

// A step on its way.
struct Step {
    bool valid, row, table;  // row: it finishes one; table: it loads a part of the activation table
    int64_t nbin_free, sb_free;
};

// Stages that move together.
class Section {
  public:
    explicit Section(int64_t stages) : last(uint64_t(1) << (stages - 1)) {}

    bool any() const { return steps & last; }
    bool row() const { return rows & last; }
    bool table() const { return tables & last; }

    void shift(bool step, bool row, bool table) {
        steps = steps << 1 | step;
        rows = rows << 1 | row;
        tables = tables << 1 | table;
    }

  private:
    const uint64_t last;
    uint64_t steps = 0, rows = 0, tables = 0;
};

class Nfu {
  public:
    int64_t nbin_free = 0, sb_free = 0;  // what becomes free in this cycle
    bool leaves = false;                 // a row enters NBout in this cycle

    explicit Nfu(const Machine& machine)
        : interval(machine.activation_cycles),
          paced(machine.paced),
          stages(machine.operand_stages),
          operands(machine.operand_stages),
          nfu1(machine.nfu1_stages),
          nfu2(machine.nfu2_stages),
          nfu3(machine.nfu3_stages),
          room(machine.nbout_rows) {}

    // First half of a cycle: what moves, if NBout is `ready` for a row.
    void look(bool ready) {
        closing = place == interval - 1;
        leaves = nfu3.row() && ready;
        moves3 = !nfu3.row() || ready;
        takes3 = paced || (moves3 && (interval == 1 || !occupied || closing));
        moves2 = !(nfu2.row() || nfu2.table()) || takes3;
        moves1 = !nfu1.any() || moves2;
        moves = !operands.any() || moves1;
    }

    // Whether it takes a step that finishes a row, or loads a table.
    bool ready(bool row, bool table) const {
        return paced ? !(row && !room) && !((row || table) && pause) : moves;
    }

    // Second half: `step` is issued, or nothing. `left`: a row left NBout in the cycle before.
    void cycle(const Step& step, bool left) {
        room += left - (step.valid && step.row);
        pause = step.valid && (step.row || step.table) ? interval - 1 : pause ? pause - 1 : 0;

        const bool row = nfu2.row(), comes = row || nfu2.table();
        if (interval == 1) {
            if (moves3) nfu3.shift(false, row, false);
        } else {
            if (moves3) nfu3.shift(false, occupied && closing && !of_table, false);
            if (paced ? comes || closing : takes3) {
                occupied = comes;
                of_table = nfu2.table();
                place = 0;
            } else if (moves3) {
                ++place;
            }
        }
        if (moves2) nfu2.shift(nfu1.any(), nfu1.row(), nfu1.table());
        if (moves1) nfu1.shift(operands.any(), operands.row(), operands.table());
        // A step gives up space when the memory takes its address.
        steps[0] = step;
        const Step &from_nbin = steps[std::min<int64_t>(stages - 2, 2)];
        const Step& from_sb = steps[stages - 1];
        nbin_free = from_nbin.valid && moves ? from_nbin.nbin_free : 0;
        sb_free = from_sb.valid && moves ? from_sb.sb_free : 0;
        if (moves) {
            operands.shift(step.valid, step.row, step.table);
            for (int64_t n = stages - 1; n; --n) steps[n] = steps[n - 1];
        }
    }

  private:
    const int64_t interval;  // cycles that NFU-3 takes for a row
    const bool paced;
    const int64_t stages;  // of the operands
    Section operands, nfu1, nfu2, nfu3;
    Step steps[OPERAND_STAGES]{};  // that comes, and those in all of these stages but the last
    // The row that NFU-3 takes apart.
    bool occupied = false, of_table = false;
    int64_t place = 0;
    // Of hw.diannao.pace.
    int64_t room, pause = 0;
    bool closing, takes3, moves3, moves2, moves1, moves;
};
