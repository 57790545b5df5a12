// A Verilated core with its memory, driven from Python through the C functions at the end.
//
// ports.h is generated for each design: READ_PORTS and WRITE_PORTS list the memory ports, each with
// its bytes per beat, its number and the table that says for which stream a transaction id counts;
// EVENT_... say where `events` keeps its fields and which of them are pulses. Verilator spells the double underscore of a port
// name ___05F.
#include <cstdlib>
#include <memory>
#include <vector>

#include "Vcore.h"
#include "memory.h"
#include "ports.h"
#include "verilated.h"
#if defined(TRACE_FST)
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif defined(TRACE_VCD)
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

namespace {

constexpr size_t TAGS = 65536, STALLS = 8;

// What the core did in the cycles that carried one tag; model.py declares the same fields.
struct Profile {
    uint64_t active, stalls[STALLS], bytes[STREAMS];
};

// From this cycle on, `events` of every cycle; model.py declares the same fields.
struct Moment {
    uint64_t cycle, events;
};

// Cycles first..last-1 are recorded.
struct Window {
    uint64_t first = 0, last = 0;

    bool holds(uint64_t cycle) const { return first <= cycle && cycle < last; }
};

class Harness {
  public:
    Memory memory;
    Window recorded;
    std::vector<Moment> timeline;
    Profile* const profile = static_cast<Profile*>(std::calloc(TAGS, sizeof(Profile)));

    explicit Harness(const Settings& settings) : memory(settings) {
        top.clk = 0;
        top.rst = 1;
        for (int cycle = 0; cycle < 4; ++cycle) tick();
        top.rst = 0;
        top.eval();
    }

    ~Harness() {
#ifdef TRACE
        if (trace) trace->close();
#endif
        top.final();
        std::free(profile);
    }

    bool irq() const { return top.irq; }

    // One clock cycle. The memory takes what the core showed before the edge, and shows its own next
    // values after it.
    void tick() {
        Profile& now = profile[top.events >> EVENT_TAG & (TAGS - 1)];
        now.active += top.events >> EVENT_ACTIVE & 1;
        ++now.stalls[top.events >> EVENT_STALL & (STALLS - 1)];
        if (recorded.holds(memory.now) &&
            (top.events & EVENT_PULSES || timeline.empty() || timeline.back().events != top.events))
            timeline.push_back({memory.now, top.events});

        memory.refill();
        bool fresh[PORTS] = {};
        for (int i = 0, port = memory.turn; i < PORTS; ++i, port = (port + 1) % PORTS) {
            switch (port) {
#define STEP_READ(P, WIDTH, PORT, STREAM)                                                  \
    case PORT:                                                                             \
        if (top.P##___05Frready && P##_read.valid) P##_read.data_taken();                  \
        if (top.P##___05Farvalid && P##_read.address_ready)                                \
            P##_read.accept_address(top.P##___05Farid, top.P##___05Faraddr,                \
                                    top.P##___05Farlen, top.P##___05Farsize,               \
                                    top.P##___05Farburst);                                 \
        fresh[PORT] = P##_read.present();                                                  \
        if (fresh[PORT]) now.bytes[STREAM[P##_read.id]] += WIDTH;                          \
        break;
                READ_PORTS(STEP_READ)
#define STEP_WRITE(P, WIDTH, PORT, STREAM)                                                 \
    case PORT:                                                                             \
        if (top.P##___05Fbready && P##_write.valid) P##_write.response_taken();            \
        if (top.P##___05Fawvalid && P##_write.address_ready)                               \
            P##_write.accept_address(top.P##___05Fawid, top.P##___05Fawaddr,               \
                                     top.P##___05Fawlen, top.P##___05Fawsize,              \
                                     top.P##___05Fawburst);                                \
        if (top.P##___05Fwvalid && P##_write.data_ready) {                                 \
            P##_write.accept_data(&top.P##___05Fwdata, &top.P##___05Fwstrb,                \
                                  top.P##___05Fwlast);                                     \
            now.bytes[STREAM[0]] += WIDTH;                                                 \
        }                                                                                  \
        P##_write.present();                                                               \
        break;
                WRITE_PORTS(STEP_WRITE)
            }
        }
        ++memory.now;

        top.clk = 1;
        top.eval();
        dump(0);
#define DRIVE_READ(P, WIDTH, PORT, STREAM)                                                 \
    top.P##___05Farready = P##_read.address_ready;                                         \
    top.P##___05Frvalid = P##_read.valid;                                                  \
    if (fresh[PORT]) {                                                                     \
        std::memcpy(static_cast<void*>(&top.P##___05Frdata), P##_read.data, WIDTH);        \
        top.P##___05Frid = P##_read.id;                                                    \
        top.P##___05Frlast = P##_read.last;                                                \
        top.P##___05Frresp = P##_read.response;                                            \
    }
        READ_PORTS(DRIVE_READ)
#define DRIVE_WRITE(P, WIDTH, PORT, STREAM)                                                \
    top.P##___05Fawready = P##_write.address_ready;                                        \
    top.P##___05Fwready = P##_write.data_ready;                                            \
    top.P##___05Fbvalid = P##_write.valid;                                                 \
    top.P##___05Fbid = P##_write.id;                                                       \
    top.P##___05Fbresp = P##_write.response;
        WRITE_PORTS(DRIVE_WRITE)
        top.clk = 0;
        top.eval();
        dump(1);
    }

    // AXI4-Lite accesses. They return the response, or -1 if the core does not answer.
    int read_register(uint32_t address, uint32_t* value) {
        top.csr___05Faraddr = address;
        top.csr___05Farvalid = 1;
        top.csr___05Frready = 1;
        int response = -1;
        for (int cycle = 0; response < 0 && cycle < 1000; ++cycle) {
            top.eval();
            const bool requested = top.csr___05Farvalid && top.csr___05Farready;
            if (top.csr___05Frvalid) {
                *value = top.csr___05Frdata;
                response = top.csr___05Frresp;
            }
            tick();
            if (requested) top.csr___05Farvalid = 0;
        }
        top.csr___05Farvalid = 0;
        top.csr___05Frready = 0;
        top.eval();
        return response;
    }

    int write_register(uint32_t address, uint32_t value) {
        top.csr___05Fawaddr = address;
        top.csr___05Fwdata = value;
        top.csr___05Fwstrb = 0xf;
        top.csr___05Fawvalid = top.csr___05Fwvalid = top.csr___05Fbready = 1;
        int response = -1;
        for (int cycle = 0; response < 0 && cycle < 1000; ++cycle) {
            top.eval();
            const bool addressed = top.csr___05Fawvalid && top.csr___05Fawready;
            const bool written = top.csr___05Fwvalid && top.csr___05Fwready;
            if (top.csr___05Fbvalid) response = top.csr___05Fbresp;
            tick();
            if (addressed) top.csr___05Fawvalid = 0;
            if (written) top.csr___05Fwvalid = 0;
        }
        top.csr___05Fawvalid = top.csr___05Fwvalid = top.csr___05Fbready = 0;
        top.eval();
        return response;
    }

#ifdef TRACE
    void open_trace(const char* file, Window window) {
        traced = window;
        trace = std::make_unique<Trace>();
        top.trace(trace.get(), 99);
        trace->open(file);
    }
#endif

  private:
    struct Context : VerilatedContext {
        Context() {
#ifdef TRACE
            traceEverOn(true);
#endif
        }
    } context;
    Vcore top{&context, "core"};
#define DECLARE_READ(P, WIDTH, PORT, STREAM) ReadSubordinate P##_read{memory, #P, PORT, WIDTH};
    READ_PORTS(DECLARE_READ)
#define DECLARE_WRITE(P, WIDTH, PORT, STREAM) WriteSubordinate P##_write{memory, #P, PORT, WIDTH};
    WRITE_PORTS(DECLARE_WRITE)
#ifdef TRACE
    std::unique_ptr<Trace> trace;
    Window traced;

    void dump(int half) {
        if (traced.holds(memory.now)) trace->dump(memory.now * 2 + half);
    }
#else
    void dump(int) {}
#endif
};

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

Harness* harness_open(const Settings* settings) { return new Harness(*settings); }

void harness_close(Harness* harness) { delete harness; }

void harness_memory(Harness* harness, uint8_t* bytes, uint64_t size) {
    harness->memory.bytes = bytes;
    harness->memory.size = size;
}

void harness_fault(Harness* harness, int port, uint64_t first, uint64_t last, uint32_t response) {
    harness->memory.faults.push_back({port, first, last, Response(response)});
}

void harness_clear_faults(Harness* harness) { harness->memory.faults.clear(); }

// Run until the interrupt is high, at most `cycles`; returns how many cycles it were.
uint64_t harness_run(Harness* harness, uint64_t cycles) {
    uint64_t done = 0;
    for (; done < cycles && !harness->irq(); ++done) harness->tick();
    return done;
}

int harness_irq(Harness* harness) { return harness->irq(); }

uint64_t harness_now(Harness* harness) { return harness->memory.now; }

int harness_read_register(Harness* harness, uint32_t address, uint32_t* value) {
    return harness->read_register(address, value);
}

int harness_write_register(Harness* harness, uint32_t address, uint32_t value) {
    return harness->write_register(address, value);
}

Profile* harness_profile(Harness* harness) { return harness->profile; }

const char* harness_violation(Harness* harness) { return harness->memory.violation.c_str(); }

// Record what `events` says in the cycles from `first` to before `last`.
void harness_record(Harness* harness, uint64_t first, uint64_t last) {
    harness->recorded = {first, last};
}

const Moment* harness_timeline(Harness* harness, uint64_t* count) {
    *count = harness->timeline.size();
    return harness->timeline.data();
}

#ifdef TRACE
void harness_trace(Harness* harness, const char* file, uint64_t first, uint64_t last) {
    harness->open_trace(file, {first, last});
}
#endif

}  // extern "C"
#pragma GCC visibility pop
