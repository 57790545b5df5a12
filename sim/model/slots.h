// What stands between the decoder and a unit: a queue, or the place in the decoder itself.
#pragma once

#include "queue.h"

struct Slot {
    int64_t number, stores;  // its own, and that of the stores before it
};

class Slots {
  public:
    explicit Slots(int64_t queue) : queued(queue > 0), queue(queue ? queue + 1 : 2) {}

    // To the unit.
    bool valid() const { return queued ? queue.valid() : held; }
    const Slot& front() const { return queued ? queue.front() : slot; }
    void pop() {
        popped = true;
        if (queued) queue.pop();
    }

    // To the decoder, after the unit in every cycle.
    bool ready() const { return queue.ready(); }
    bool empty() const { return !queue.level() && !held; }
    bool holds() const { return held; }
    void push(const Slot& payload) { queue.push(payload); }
    void hold(const Slot& payload) {
        coming = true;
        next = payload;
    }

    void edge() {
        if (queued) {
            queue.edge();
        } else {
            held = coming || (held && !popped);
            if (coming) slot = next;
        }
        popped = coming = false;
    }

  private:
    const bool queued;
    Queue<Slot> queue;
    bool held = false, popped = false, coming = false;
    Slot slot, next;
};
