// hw.bus.streams.Queue: first in, first out, latency 2.
#pragma once

#include <cassert>
#include <memory>

// All of a cycle is decided on what the queue shows; `edge` makes of it what the next one sees.
template <class Payload>
class Queue {
  public:
    explicit Queue(int depth)
        : places(depth - 1), size(depth + 1), entries(new Payload[size]()) {}

    bool ready() const { return inner != places; }
    bool valid() const { return out; }
    int level() const { return inner + out; }
    const Payload& front() const { return entries[first]; }

    void push(const Payload& payload) {
        assert(ready());
        entries[end] = payload;
        end = after(end);
        pushed = true;
    }

    void pop() {
        assert(out);
        popped = true;
    }

    void edge() {
        if (!pushed && !popped && (out || !inner)) return;
        if (popped) first = after(first);
        // The oldest payload goes on to the output register if that is empty or being emptied.
        const bool moves = inner && (!out || popped);
        inner += pushed - moves;
        out = moves || (out && !popped);
        pushed = popped = false;
    }

  private:
    const int places;  // but for the output register
    const int size;
    int inner = 0, first = 0, end = 0;
    bool out = false, pushed = false, popped = false;
    std::unique_ptr<Payload[]> entries;

    int after(int place) const { return place + 1 == size ? 0 : place + 1; }
};

struct Nothing {};
