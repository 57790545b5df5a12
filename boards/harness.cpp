// A board in Verilator whose serial line is a file descriptor.

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <vector>

#include "Vboard.h"
#include "verilated.h"

namespace {

constexpr uint64_t LOOK = 512;           // cycles between two looks at an idle line
constexpr uint64_t ASLEEP = 1ull << 23;  // cycles without a byte after which time stands still

struct Board {
    VerilatedContext context;
    Vboard top{&context};
    int divisor;
    uint64_t cycle = 0, active = 0;
    int broken = 0;  // rule of the memory; the board stops at once
    std::atomic<bool> stop{false}, reset{true};

    // Faults: of a million bytes so many are dropped, repeated or changed.
    std::atomic<uint32_t> faults{0};
    std::mt19937 random{1};

    std::vector<uint8_t> pending;  // from the descriptor, not yet on the line
    size_t next = 0;
    int rx_bits = 0, rx_timer = 0;
    uint32_t rx_shift = 0;
    int tx_bits = 0, tx_timer = 0;
    uint32_t tx_shift = 0;

    void spoil(uint8_t byte, std::vector<uint8_t>& into) {
        if (random() % 1000000 < faults) {
            switch (random() % 3) {
                case 0: return;
                case 1: into.push_back(byte); break;
                default: byte ^= 1 << random() % 8;
            }
        }
        into.push_back(byte);
    }

    bool fetch(int fd) {
        uint8_t buffer[4096];
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got <= 0) return got == 0 || errno == EAGAIN || errno == EIO || errno == EINTR;
        pending.clear();
        next = 0;
        for (ssize_t n = 0; n < got; ++n) spoil(buffer[n], pending);
        return true;
    }

    bool run(int fd) {
        int resetting = 0;
        while (!stop && !broken) {
            if (reset.exchange(false)) resetting = 4;
            top.rst = resetting > 0;
            if (resetting) --resetting;
            // The line to the board.
            if (rx_bits) {
                if (--rx_timer == 0) {
                    rx_timer = divisor;
                    rx_shift >>= 1;
                    --rx_bits;
                }
            } else if (next < pending.size()) {
                rx_shift = pending[next++] << 1 | 1 << 9;
                rx_bits = 10;
                rx_timer = divisor;
                active = cycle;
            } else if (cycle % LOOK == 0) {
                if (cycle - active > ASLEEP) {
                    pollfd line{fd, POLLIN, 0};
                    poll(&line, 1, 20);
                    if (line.revents & POLLHUP) usleep(20000);
                    if (!(line.revents & POLLIN)) continue;
                }
                if (!fetch(fd)) return false;
            }
            top.rx = rx_bits ? rx_shift & 1 : 1;
            top.clk = 0;
            top.eval();
            top.clk = 1;
            top.eval();
            ++cycle;
            broken = top.broken;
            // The line from the board.
            if (tx_bits) {
                if (--tx_timer == 0) {
                    tx_timer = divisor;
                    tx_shift |= top.tx << (10 - tx_bits);
                    if (--tx_bits == 0) {
                        std::vector<uint8_t> bytes;
                        spoil(tx_shift >> 1, bytes);
                        for (uint8_t byte : bytes)
                            while (write(fd, &byte, 1) < 0 && !stop) usleep(100);
                        active = cycle;
                    }
                }
            } else if (!top.tx) {
                tx_bits = 10;
                tx_timer = divisor / 2 + 1;
                tx_shift = 0;
            }
        }
        return true;
    }
};

}  // namespace

extern "C" {
__attribute__((visibility("default"))) int board_broken(Board* board) { return board->broken; }
__attribute__((visibility("default"))) Board* board_new(int divisor) {
    Board* board = new Board;
    board->divisor = divisor;
    return board;
}
__attribute__((visibility("default"))) void board_delete(Board* board) {
    board->top.final();
    delete board;
}
__attribute__((visibility("default"))) bool board_run(Board* board, int fd) {
    return board->run(fd);
}
__attribute__((visibility("default"))) void board_stop(Board* board) { board->stop = true; }
__attribute__((visibility("default"))) void board_reset(Board* board) { board->reset = true; }
__attribute__((visibility("default"))) void board_faults(Board* board, uint32_t per_million) {
    board->faults = per_million;
}
__attribute__((visibility("default"))) uint64_t board_cycles(Board* board) { return board->cycle; }
}
