// The memory as sim/verilator/memory.h has it, without its contents.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "../verilator/memory.h"
#include "read_dma.h"
#include "store.h"

// What a port does in a cycle of the memory: it takes what the core shows, and then decides what it
// shows in the next one.
class MemoryPort {
  public:
    virtual ~MemoryPort() = default;
    virtual bool cycle() = 0;  // returns whether anything moves

  protected:
    MemoryPort(Memory& memory, int number, uint32_t width)
        : memory(memory), number(number), width(width) {}

    Memory& memory;
    const int number;
    const uint32_t width;

    bool take() { return memory.take(number, width); }
};

// AR and R.
class ReadMemory : public MemoryPort {
  public:
    ReadMemory(Memory& memory, int number, uint32_t width, std::vector<ReadLink*> readers)
        : MemoryPort(memory, number, width), readers(std::move(readers)) {}

    bool cycle() override {
        const Beat now = shown;
        if (readers.size() == 1) {
            accept();
            const bool taken = now.valid && readers[0]->ready;
            answer({taken, now.last, 0});
            if (now.valid && !taken) return false;
        } else {
            answer(passing);
            passing = now;
            arbitrate();
        }
        shown.valid = !queue.empty() && queue.front().due <= memory.now + 1 && take();
        if (shown.valid) {
            Request& request = queue.front();
            shown = {true, --request.beats == 0, request.reader};
            if (shown.last) queue.pop_front();
        }
        return now.valid;
    }

  private:
    struct Beat {
        bool valid, last;
        size_t reader;
    };
    struct Request {
        uint64_t due;
        int64_t beats;
        size_t reader;
    };
    std::vector<ReadLink*> readers;
    std::deque<Request> queue;
    Beat shown{};
    ReadLink* reader = nullptr;  // that gets a beat
    // Of hw.bus.arbiter: its registers of R and AR, and who was served last.
    Beat passing{};
    bool holds = false;
    Request held{};
    size_t served = 0;

    void answer(const Beat& beat) {
        if (reader) reader->beat = false;
        reader = nullptr;
        if (!beat.valid) return;
        reader = readers[beat.reader];
        reader->beat = true;
        reader->last = beat.last;
    }

    void accept() {
        ReadLink& reader = *readers[0];
        if (!reader.valid) return;
        reader.sent = true;
        queue.push_back({memory.due(), reader.beats, 0});
    }

    void arbitrate() {
        if (holds) queue.push_back({memory.due(), held.beats, held.reader});
        holds = false;
        for (size_t distance = 1; distance <= readers.size() && !holds; ++distance) {
            const size_t candidate = (served + distance) % readers.size();
            ReadLink& reader = *readers[candidate];
            if (!reader.valid) continue;
            holds = reader.sent = true;
            held = {0, reader.beats, candidate};
        }
        if (holds) served = held.reader;
    }
};

// AW, W and B.
class WriteMemory : public MemoryPort {
  public:
    WriteMemory(Memory& memory, int number, uint32_t width, WriteLink& writer)
        : MemoryPort(memory, number, width), writer(writer) {}

    bool cycle() override {
        writer.reply = replies;
        replies = false;
        if (writer.valid) {
            writer.sent = true;
            waiting.push_back(writer.beats);
        }
        writer.taken = writer.beat && ready;
        if (writer.taken) {
            ++beats;
            ready = false;
        }
        while (!waiting.empty() && beats >= waiting.front()) {
            beats -= waiting.front();
            waiting.pop_front();
            complete.push_back(memory.due());
        }
        // A beat's bandwidth is reserved before it comes.
        if (!ready) ready = take();
        if (!complete.empty() && complete.front() <= memory.now + 1) {
            replies = true;
            complete.pop_front();
        }
        return writer.taken || writer.reply;
    }

  private:
    WriteLink& writer;
    std::deque<int64_t> waiting;  // beats of the bursts that are not complete
    std::deque<uint64_t> complete;
    int64_t beats = 0;
    bool ready = true, replies = false;
};
