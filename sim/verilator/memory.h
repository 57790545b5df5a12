// External memory of a simulated core: AXI4 subordinates that share one array of bytes.
//
// The memory is as awkward as AXI allows where a program could be careless: a read takes its bytes
// when its address is accepted, a write puts its bytes in place when its response is given. A load
// that does not wait for the store it depends on therefore reads old data.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ports are copied bytewise, which needs a little-endian machine"
#endif

enum Response : uint8_t { OKAY = 0, SLVERR = 2, DECERR = 3 };

// Behaviour of the memory; model.py declares the same fields for ctypes.
struct Settings {
    uint32_t latency;    // cycles from an address (or the last write data) to the answer, at least 1
    uint32_t bandwidth;  // bytes per cycle, all ports together
    uint32_t stall;      // chance in 65536 that a channel pauses for a cycle
    uint32_t seed;       // of the pauses
};

// Addresses first..last answer with an error on one port (or, with port -1, on all).
struct Fault {
    int port;
    uint64_t first, last;
    Response response;
};

// The array, its data rate and its faults.
class Memory {
  public:
    uint8_t* bytes = nullptr;
    uint64_t size = 0;
    uint64_t now = 0;  // clock edges so far
    std::vector<Fault> faults;
    std::string violation;  // first breach of the AXI rules by the core, empty if none

    explicit Memory(const Settings& settings)
        : settings(settings), random(settings.seed * 2654435761ull + 1) {}

    // The edge at which an answer to a request of now may be taken.
    uint64_t due() const { return now + settings.latency; }

    // The port that may ask for bandwidth first in this cycle.
    int turn = 0;

    // A new cycle brings its share of the bandwidth. What a cycle does not use is lost; who was
    // turned away first is first in line.
    void refill() {
        credit = std::min<int64_t>(credit + settings.bandwidth, settings.bandwidth);
        if (refused >= 0) turn = refused;
        refused = -1;
    }

    // Ask to move one beat. A beat larger than what is left of a cycle is paid for in later ones.
    bool take(int port, uint32_t beat_bytes) {
        if (credit > 0) {
            credit -= beat_bytes;
            return true;
        }
        if (refused < 0) refused = port;
        return false;
    }

    bool pause() {
        if (settings.stall == 0) return false;
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        return (random >> 24 & 0xffff) < settings.stall;
    }

    Response response(int port, uint64_t address, uint32_t count) const {
        if (address >= size || count > size - address) return DECERR;
        for (const Fault& fault : faults)
            if ((fault.port < 0 || fault.port == port) && address <= fault.last &&
                address + count > fault.first)
                return fault.response;
        return OKAY;
    }

    void violate(const char* port, const char* rule) {
        if (violation.empty()) violation = std::string(port) + " " + rule;
    }

  private:
    Settings settings;
    uint64_t random;
    int64_t credit = 0;
    int refused = -1;
};

// One accepted address of either direction.
struct Burst {
    uint32_t id;
    uint64_t address;  // of the first beat, aligned to the port's width
    uint32_t beats;
    uint64_t due;  // first edge that may carry the answer
};

// What both directions have in common: the address channel.
class Subordinate {
  public:
    bool address_ready = false;

    Subordinate(Memory& memory, const char* name, int port, uint32_t width)
        : memory(memory), name(name), port(port), width(width) {}

  protected:
    Memory& memory;
    const char* name;
    int port;
    uint32_t width;  // bytes of a beat

    Burst accept(uint32_t id, uint64_t address, uint32_t len, uint32_t size, uint32_t kind) {
        const Burst burst{id, address & ~uint64_t(width - 1), len + 1, memory.due()};
        uint32_t log2 = 0;
        while ((1u << log2) < width) ++log2;
        if (size != std::min(log2, 7u)) memory.violate(name, "has a burst narrower than the port");
        if (kind != 1) memory.violate(name, "has a burst that is not INCR");
        const uint64_t end = burst.address + uint64_t(burst.beats) * width - 1;
        if (burst.address >> 12 != end >> 12) memory.violate(name, "has a burst that crosses 4 KiB");
        return burst;
    }
};

// AR and R. The public members are the subordinate's outputs.
class ReadSubordinate : public Subordinate {
  public:
    bool valid = false, last = false;
    uint32_t id = 0;
    Response response = OKAY;
    const uint8_t* data = nullptr;

    using Subordinate::Subordinate;

    void accept_address(uint32_t id, uint64_t address, uint32_t len, uint32_t size, uint32_t kind) {
        Answer answer{accept(id, address, len, size, kind), 0, {}, {}};
        answer.data.resize(size_t(answer.burst.beats) * width);
        for (uint32_t beat = 0; beat < answer.burst.beats; ++beat) {
            const uint64_t at = answer.burst.address + uint64_t(beat) * width;
            answer.responses.push_back(memory.response(port, at, width));
            if (answer.responses.back() == OKAY)
                std::memcpy(&answer.data[size_t(beat) * width], memory.bytes + at, width);
        }
        queue.push_back(std::move(answer));
    }

    void data_taken() {
        valid = false;
        if (++queue.front().beat == queue.front().burst.beats) queue.pop_front();
    }

    // After an edge: what the port shows at the next one. True if a new beat was put there.
    bool present() {
        address_ready = !memory.pause();
        if (valid || queue.empty() || queue.front().burst.due > memory.now + 1 || memory.pause() ||
            !memory.take(port, width))
            return false;
        const Answer& front = queue.front();
        valid = true;
        id = front.burst.id;
        last = front.beat + 1 == front.burst.beats;
        response = front.responses[front.beat];
        data = &front.data[size_t(front.beat) * width];
        return true;
    }

  private:
    struct Answer {
        Burst burst;
        uint32_t beat;  // the next one to be shown
        std::vector<uint8_t> data;
        std::vector<Response> responses;  // one per beat
    };
    std::deque<Answer> queue;
};

// AW, W and B. The public members are the subordinate's outputs.
class WriteSubordinate : public Subordinate {
  public:
    bool data_ready = false, valid = false;
    uint32_t id = 0;
    Response response = OKAY;

    using Subordinate::Subordinate;

    void accept_address(uint32_t id, uint64_t address, uint32_t len, uint32_t size, uint32_t kind) {
        waiting.push_back(accept(id, address, len, size, kind));
    }

    // One beat with its strobes (a bit per byte). It may come before its address.
    void accept_data(const void* data, const void* strobes, bool last) {
        Beat beat{std::vector<uint8_t>(width), std::vector<uint8_t>((width + 7) / 8), last};
        std::memcpy(beat.data.data(), data, width);
        std::memcpy(beat.strobes.data(), strobes, beat.strobes.size());
        beats.push_back(std::move(beat));
        data_ready = false;
    }

    void response_taken() { valid = false; }

    // After an edge: what the port shows at the next one.
    void present() {
        // A burst is complete when its address and all its beats are here.
        while (!waiting.empty() && beats.size() - claimed >= waiting.front().beats) {
            Burst burst = waiting.front();
            for (uint32_t beat = 0; beat < burst.beats; ++beat)
                if (beats[claimed + beat].last != (beat + 1 == burst.beats))
                    memory.violate(name, "has wlast elsewhere than on a burst's last beat");
            claimed += burst.beats;
            burst.due = memory.due();
            complete.push_back(burst);
            waiting.pop_front();
        }
        address_ready = !memory.pause();
        // A beat's bandwidth is reserved when the port gets ready for it.
        if (!data_ready && !memory.pause()) data_ready = memory.take(port, width);
        if (!valid && !complete.empty() && complete.front().due <= memory.now + 1 && !memory.pause())
            respond();
    }

  private:
    struct Beat {
        std::vector<uint8_t> data, strobes;
        bool last;
    };
    std::deque<Burst> waiting, complete;
    std::deque<Beat> beats;  // of the complete bursts first
    size_t claimed = 0;      // beats that belong to complete bursts

    void respond() {
        const Burst burst = complete.front();
        complete.pop_front();
        valid = true;
        id = burst.id;
        response = OKAY;
        for (uint32_t beat = 0; beat < burst.beats; ++beat) {
            const uint64_t at = burst.address + uint64_t(beat) * width;
            const Response answer = memory.response(port, at, width);
            response = std::max(response, answer);
            if (answer == OKAY) store(memory.bytes + at, beats.front());
            beats.pop_front();
        }
        claimed -= burst.beats;
    }

    void store(uint8_t* to, const Beat& beat) {
        for (uint32_t i = 0; i < width; ++i)
            if (beat.strobes[i / 8] >> (i % 8) & 1) to[i] = beat.data[i];
    }
};
