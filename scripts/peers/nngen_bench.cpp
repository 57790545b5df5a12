// A Verilated NNgen accelerator on the memory that our core is measured with.
//
//   bench IMAGE RESULT LATENCY BANDWIDTH START BUSY LIMIT
//
// loads the file IMAGE into the memory, writes 1 to the register START, reads this and then BUSY
// until they are 0, and writes the memory to the file RESULT. Prints the cycles in between, the
// seconds of processor time they took, and what breach of the AXI rules there was, if any.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>

#include "Vlayer.h"
#include "memory.h"
#include "verilated.h"

namespace {

class Bench {
  public:
    Memory memory;

    explicit Bench(const Settings& settings) : memory(settings) {
        top.RESETN = 0;
        for (int cycle = 0; cycle < 100; ++cycle) tick();
        top.RESETN = 1;
        for (int cycle = 0; cycle < 100; ++cycle) tick();
        started = memory.now;
    }

    uint64_t cycles() const { return memory.now - started; }

    void write_register(uint32_t address, uint32_t value) {
        top.saxi_awaddr = address;
        top.saxi_wdata = value;
        top.saxi_wstrb = 15;
        top.saxi_awvalid = top.saxi_wvalid = top.saxi_bready = 1;
        for (bool answered = false; !answered;) {
            top.eval();
            const bool address_taken = top.saxi_awvalid && top.saxi_awready;
            const bool data_taken = top.saxi_wvalid && top.saxi_wready;
            answered = top.saxi_bvalid;
            tick();
            if (address_taken) top.saxi_awvalid = 0;
            if (data_taken) top.saxi_wvalid = 0;
        }
        top.saxi_bready = 0;
    }

    uint32_t read_register(uint32_t address) {
        top.saxi_araddr = address;
        top.saxi_arvalid = top.saxi_rready = 1;
        uint32_t value = 0;
        for (bool answered = false; !answered;) {
            top.eval();
            const bool taken = top.saxi_arvalid && top.saxi_arready;
            answered = top.saxi_rvalid;
            value = top.saxi_rdata;
            tick();
            if (taken) top.saxi_arvalid = 0;
        }
        top.saxi_rready = 0;
        return value;
    }

  private:
    static constexpr uint32_t width = sizeof(Vlayer::maxi_rdata);
    Vlayer top;
    ReadSubordinate read{memory, "maxi", 0, width};
    WriteSubordinate write{memory, "maxi", 1, width};
    uint64_t started = 0;

    // The memory takes what the accelerator showed before the edge, and shows its own next values
    // after it.
    void tick() {
        memory.refill();
        bool fresh = false;
        for (int i = 0, port = memory.turn; i < 2; ++i, port = 1 - port) {
            if (port == 0) {
                if (top.maxi_rready && read.valid) read.data_taken();
                if (top.maxi_arvalid && read.address_ready)
                    read.accept_address(0, top.maxi_araddr, top.maxi_arlen, top.maxi_arsize,
                                        top.maxi_arburst);
                fresh = read.present();
            } else {
                if (top.maxi_bready && write.valid) write.response_taken();
                if (top.maxi_awvalid && write.address_ready)
                    write.accept_address(0, top.maxi_awaddr, top.maxi_awlen, top.maxi_awsize,
                                         top.maxi_awburst);
                if (top.maxi_wvalid && write.data_ready)
                    write.accept_data(&top.maxi_wdata, &top.maxi_wstrb, top.maxi_wlast);
                write.present();
            }
        }
        ++memory.now;
        top.CLK = 1;
        top.eval();
        top.maxi_arready = read.address_ready;
        top.maxi_rvalid = read.valid;
        if (fresh) {
            std::memcpy(static_cast<void*>(&top.maxi_rdata), read.data, width);
            top.maxi_rlast = read.last;
            top.maxi_rresp = read.response;
        }
        top.maxi_awready = write.address_ready;
        top.maxi_wready = write.data_ready;
        top.maxi_bvalid = write.valid;
        top.maxi_bresp = write.response;
        top.CLK = 0;
        top.eval();
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 8) {
        std::fputs("usage: bench IMAGE RESULT LATENCY BANDWIDTH START BUSY LIMIT\n", stderr);
        return 2;
    }
    std::ifstream image(argv[1], std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(image)), {});
    const auto number = [&](int at) { return uint32_t(std::strtoul(argv[at], nullptr, 10)); };
    Bench bench({number(3), number(4), 0, 1});
    bench.memory.bytes = reinterpret_cast<uint8_t*>(bytes.data());
    bench.memory.size = bytes.size();
    const std::clock_t before = std::clock();
    bench.write_register(number(5), 1);
    for (const int at : {5, 6})
        while (bench.read_register(number(at)))
            if (bench.cycles() > number(7)) {
                std::fputs("the accelerator does not come to an end\n", stderr);
                return 1;
            }
    const double seconds = double(std::clock() - before) / CLOCKS_PER_SEC;
    std::ofstream(argv[2], std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
    std::printf("%llu %.6f %s\n", static_cast<unsigned long long>(bench.cycles()), seconds,
                bench.memory.violation.c_str());
}
