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

// What memory has to do with readers: one, or several behind hw.bus.arbiter.
class Readers {
  public:
    struct Beat {
        bool valid, last;
        size_t reader;
    };
    struct Burst {
        int64_t beats;
        size_t reader;
    };

    explicit Readers(std::vector<ReadLink*> links)
        : links(std::move(links)), shared(this->links.size() > 1) {}

    // An address is there; it goes on.
    bool asks() const { return shared ? holds : links[0]->valid; }
    Burst take() {
        if (shared) {
            holds = false;
            return held;
        }
        links[0]->sent = true;
        return {links[0]->beats, 0};
    }

    // A beat is taken if it is there.
    bool ready() const { return shared || links[0]->ready; }

    // The end of a cycle that brings this beat, or none.
    void cycle(const Beat& beat) {
        answer(shared ? passing : beat);
        passing = beat;
        if (shared && !holds) arbitrate();
    }

  private:
    std::vector<ReadLink*> links;
    const bool shared;
    ReadLink* reader = nullptr;  // that gets a beat
    // Of the arbiter: its registers of R and AR, and who was served last.
    Beat passing{};
    bool holds = false;
    Burst held{};
    size_t served = 0;

    void answer(const Beat& beat) {
        if (reader) reader->beat = false;
        reader = nullptr;
        if (!beat.valid) return;
        reader = links[beat.reader];
        reader->beat = true;
        reader->last = beat.last;
    }

    void arbitrate() {
        for (size_t distance = 1; distance <= links.size() && !holds; ++distance) {
            const size_t candidate = (served + distance) % links.size();
            ReadLink& link = *links[candidate];
            if (!link.valid) continue;
            holds = link.sent = true;
            held = {link.beats, candidate};
            served = candidate;
        }
    }
};

// AR and R.
class ReadMemory : public MemoryPort {
  public:
    ReadMemory(Memory& memory, int number, uint32_t width, std::vector<ReadLink*> links)
        : MemoryPort(memory, number, width), readers(std::move(links)) {}

    bool cycle() override {
        const bool taken = shown.valid && readers.ready();
        if (readers.asks()) queue.push_back({memory.due(), readers.take()});
        readers.cycle(taken ? shown : Readers::Beat{});
        if (shown.valid && !taken) return false;
        shown.valid = !queue.empty() && queue.front().due <= memory.now + 1 && take();
        if (shown.valid) {
            Readers::Burst& burst = queue.front().burst;
            shown = {true, --burst.beats == 0, burst.reader};
            if (shown.last) queue.pop_front();
        }
        return taken;
    }

  private:
    struct Request {
        uint64_t due;
        Readers::Burst burst;
    };
    Readers readers;
    std::deque<Request> queue;
    Readers::Beat shown{};
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
