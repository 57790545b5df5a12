// A single-data-rate SDRAM with 16 data bits and four banks, which watches over its timing.
//
// Pins are sampled at the rising edge of clk; a word is on dq_o, with dq_oe, from the edge that is
// CAS - 1 edges after that of its read. Commands are active high: {ras, cas, we}. Distances are
// checked in picoseconds, so they follow from the data sheet and not from what the controller makes
// of it. `broken` is the number of the first rule that was broken, and stays.
//
// Reset is power on. Contents are undefined until written. Not modelled: power down, self refresh,
// clock suspend, burst terminate, auto precharge, interleaved and single bursts, none of which
// may be used.
module sdram_chip #(
    parameter ROW_BITS = 13,
    parameter ADDRESS_BITS = 13,
    parameter COLUMN_BITS = 9,
    parameter PERIOD = 10000,  // of clk, and all times in picoseconds
    parameter T_RCD = 21000,
    parameter T_RP = 21000,
    parameter T_RAS = 45000,
    parameter T_RC = 68000,
    parameter T_RRD = 15000,
    parameter T_WR = 15000,
    parameter T_RFC = 68000,
    parameter T_MRD = 20000,
    parameter T_CAS_2 = 10000,  // shortest period with CAS latency 2
    parameter T_CAS_3 = 7000,
    parameter T_REFRESH = 7812500,  // between two refreshes, on average
    parameter T_POWER_UP = 200000000
) (
    input clk,
    input rst,
    input [2:0] command,
    input [1:0] ba,
    input [ADDRESS_BITS-1:0] a,
    input [1:0] dqm,
    input [15:0] dq_i,
    input dq_i_driven,
    output reg [15:0] dq_o,
    output reg dq_oe,
    output reg [4:0] broken
);
    localparam [2:0] NOTHING = 3'b000, ACTIVATE = 3'b100, READ = 3'b010, WRITE = 3'b011,
                     PRECHARGE = 3'b101, REFRESH = 3'b110, MODE = 3'b111;

    localparam [4:0] POWER_UP = 1,       // a command too early, or anything before initialisation
                     RCD = 2, RP = 3, RAS = 4, RC = 5, RRD = 6, WR = 7, RFC = 8, MRD = 9,
                     LATE = 10,          // refreshes are missing
                     CLOSED = 11,        // access to a bank without open row
                     OPEN = 12,          // activate, refresh or mode with an open row
                     DRIVERS = 13,       // both ends drive the data pins, or one right after the other
                     UNDRIVEN = 14,      // nobody drives what is written
                     CUT = 15,           // precharge in the middle of a burst
                     UNKNOWN = 16,       // command or mode that does not exist here
                     FAST = 17;          // clock too fast for the CAS latency

    localparam FIRST_REFRESHES = 8;
    localparam MOST_OWED = 2;  // refreshes that may be late

    reg [15:0] cells [0:(4 << (ROW_BITS + COLUMN_BITS)) - 1];

    // What has been, in cycles.
    reg [63:0] now, set, refreshed;
    reg [63:0] activated [0:3];
    reg [63:0] precharged [0:3];
    reg [63:0] written [0:3];
    reg [63:0] last_activated;
    reg [1:0] last_bank;
    reg [3:0] opened, ever_activated, ever_precharged, ever_written;
    reg ever_refreshed, any_activated;
    reg all_precharged, initialised;
    reg [3:0] first_refreshes;
    reg [63:0] owed_since;  // start of the interval whose refresh is missing
    reg [ROW_BITS-1:0] row [0:3];
    reg [3:0] burst;  // words of a burst
    reg [1:0] latency;

    // The burst in progress, and words on their way out.
    reg [3:0] left;
    reg writing;
    reg [1:0] bank;
    reg [COLUMN_BITS-1:0] column;
    reg [15:0] way_data [0:1];
    reg [1:0] way_valid;
    reg [1:0] mask;
    reg drove;

    reg accessing, is_write;
    reg [1:0] at_bank;
    reg [COLUMN_BITS-1:0] at_column;
    reg [15:0] word;
    reg word_valid;
    reg [ROW_BITS+COLUMN_BITS+1:0] where;

    task check(input ok, input [4:0] rule);
        if (!ok && broken == 0) begin
            broken <= rule;
            $display("SDRAM: rule %0d is broken in cycle %0d", rule, now);
        end
    endtask

    function since(input [63:0] start, input integer least);
        since = (now - start) * PERIOD >= least;
    endfunction

    task precharge(input [1:0] which);
        begin
            if (opened[which]) begin
                check(since(activated[which], T_RAS), RAS);
                check(!ever_written[which] || since(written[which], T_WR), WR);
                check(left == 0 || bank != which, CUT);
            end
            opened[which] <= 0;
            precharged[which] <= now;
            ever_precharged[which] <= 1;
        end
    endtask

    integer n;

    always @(posedge clk) begin
        now <= now + 1;
        drove <= dq_oe;
        mask <= dqm;
        way_valid <= {way_valid[0], 1'b0};
        way_data[1] <= way_data[0];

        check(!(dq_i_driven && (dq_oe || drove)), DRIVERS);
        if (initialised) begin
            check(now <= owed_since + MOST_OWED * T_REFRESH / PERIOD, LATE);
        end
        if (command != NOTHING) begin
            check(now * PERIOD >= T_POWER_UP, POWER_UP);
            check(!ever_refreshed || since(refreshed, T_RFC), RFC);
            check(!initialised || since(set, T_MRD), MRD);
        end

        accessing = left != 0;
        is_write = writing;
        at_bank = bank;
        at_column = column;
        case (command)
            NOTHING: ;
            ACTIVATE: begin
                check(initialised, POWER_UP);
                check(!opened[ba], OPEN);
                check(!ever_precharged[ba] || since(precharged[ba], T_RP), RP);
                check(!ever_activated[ba] || since(activated[ba], T_RC), RC);
                check(!any_activated || last_bank == ba || since(last_activated, T_RRD), RRD);
                opened[ba] <= 1;
                row[ba] <= a[ROW_BITS-1:0];
                activated[ba] <= now;
                ever_activated[ba] <= 1;
                last_activated <= now;
                last_bank <= ba;
                any_activated <= 1;
            end
            READ, WRITE: begin
                check(opened[ba], CLOSED);
                check(!opened[ba] || since(activated[ba], T_RCD), RCD);
                check(!a[10], UNKNOWN);
                accessing = opened[ba];
                is_write = command == WRITE;
                at_bank = ba;
                at_column = a[COLUMN_BITS-1:0];
            end
            PRECHARGE: begin
                for (n = 0; n < 4; n = n + 1)
                    if (a[10] || ba == n) precharge(n[1:0]);
                if (a[10]) all_precharged <= 1;
            end
            REFRESH: begin
                check(all_precharged, POWER_UP);
                check(opened == 0, OPEN);
                for (n = 0; n < 4; n = n + 1)
                    check(!ever_precharged[n] || since(precharged[n], T_RP), RP);
                refreshed <= now;
                ever_refreshed <= 1;
                if (!first_refreshes[3]) first_refreshes <= first_refreshes + 1;
                // Early refreshes are not saved up.
                owed_since <= (owed_since < now ? owed_since : now) + T_REFRESH / PERIOD;
            end
            MODE: begin
                check(first_refreshes == FIRST_REFRESHES, POWER_UP);
                check(opened == 0, OPEN);
                check(a[10:7] == 0 && !a[3] && a[2:0] <= 3 && ba == 0 && a[6:5] == 2'b01, UNKNOWN);
                check(PERIOD >= (a[4] ? T_CAS_3 : T_CAS_2), FAST);
                burst <= 1 << a[1:0];
                latency <= a[5:4];
                initialised <= 1;
                owed_since <= now;
                set <= now;
            end
            default: check(0, UNKNOWN);
        endcase

        // A word of the burst.
        word = 16'hBAD0;
        word_valid = 0;
        if (accessing) begin
            where = {at_bank, row[at_bank], at_column};
            if (is_write) begin
                check(dq_i_driven, UNDRIVEN);
                for (n = 0; n < 2; n = n + 1)
                    if (!dqm[n]) cells[where][8*n +: 8] <= dq_i[8*n +: 8];
                written[at_bank] <= now;
                ever_written[at_bank] <= 1;
            end else begin
                word = cells[where];
                word_valid = 1;
            end
            // A burst wraps within as many words as it has.
            column <= (at_column & ~(burst - 1)) | ((at_column + 1) & (burst - 1));
            left <= (command == READ || command == WRITE ? burst : left) - 1;
            bank <= at_bank;
            writing <= is_write;
        end
        way_data[0] <= word;
        way_valid[0] <= word_valid;
        if (latency == 2) begin
            word = way_data[0];
            word_valid = way_valid[0];
        end else begin
            word = way_data[1];
            word_valid = way_valid[1];
        end
        // The mask works two cycles later.
        dq_o <= word_valid ? word ^ {{8{mask[1]}}, {8{mask[0]}}} : 16'hBAD0;
        dq_oe <= word_valid;

        if (rst) begin
            now <= 0;
            broken <= 0;
            {opened, ever_activated, ever_precharged, ever_written} <= 0;
            {ever_refreshed, any_activated, all_precharged, initialised} <= 0;
            first_refreshes <= 0;
            {left, way_valid, dq_oe, drove, mask} <= 0;
            burst <= 1;
            latency <= 2;
        end
    end
endmodule
