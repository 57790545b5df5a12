// boards.memory.onchip: memory of an FPGA, which works on one burst at a time.
#pragma once

#include "ports.h"

class OnChip : public MemoryPort {
  public:
    OnChip(Memory& memory, uint32_t width, std::vector<ReadLink*> links, WriteLink& writer)
        : MemoryPort(memory, 0, width), readers(std::move(links)), writer(writer) {}

    bool cycle() override {
        const bool taken = shown.valid && readers.ready(), issues = !shown.valid || taken;
        const Readers::Beat now = taken ? shown : Readers::Beat{};
        if (taken) shown.valid = false;
        writer.taken = state == WRITE && writer.beat;
        writer.reply = state == RESPONSE;
        switch (state) {
            case IDLE:
                if (writer.valid && !(readers.asks() && wrote)) {
                    writer.sent = wrote = true;
                    left = writer.beats;
                    state = WRITE;
                } else if (readers.asks()) {
                    read();
                }
                break;
            case READ:
                if (!issues) break;
                shown = {true, --left == 0, reader};
                if (left) break;
                state = LAST;
                if (readers.asks() && !writer.valid) read();
                break;
            case LAST:
                if (issues) state = IDLE;
                break;
            case WRITE:
                if (writer.taken && --left == 0) state = RESPONSE;
                break;
            case RESPONSE:
                state = IDLE;
                break;
        }
        readers.cycle(now);
        return taken || writer.taken || writer.reply;
    }

  private:
    enum { IDLE, READ, LAST, WRITE, RESPONSE } state = IDLE;
    Readers readers;
    WriteLink& writer;
    Readers::Beat shown{};
    int64_t left = 0;   // beats of the burst
    size_t reader = 0;  // whose it is
    bool wrote = false;

    void read() {
        const Readers::Burst burst = readers.take();
        left = burst.beats;
        reader = burst.reader;
        wrote = false;
        state = READ;
    }
};
