// A bank of eDRAM; hw/dadiannao/edram.py describes its ports. For synthesis it is a black box, which
// a memory of the technology replaces; otherwise it is a simulation model.
//
// A read leaves its row destroyed until ``restore`` was high in the RESTORE cycles that follow. The
// simulation ends with an error when a rule of the memory is broken: one command at a time, restore
// at once, rows that exist, and a refresh at least every REFRESH_INTERVAL cycles once something has
// been written.
`ifdef SYNTHESIS
(* blackbox *)
`endif
module diannao_edram #(
    parameter ROWS = 2,
    parameter WIDTH = 1,
    parameter LATENCY = 1,
    parameter RESTORE = 0,
    parameter REFRESH_INTERVAL = 0
) (
    input  wire                    clk,
    input  wire [$clog2(ROWS)-1:0] row,
    input  wire                    read,
    input  wire                    write,
    input  wire                    restore,
    input  wire                    refresh,
    input  wire [WIDTH-1:0]        data_in,
    output wire [WIDTH-1:0]        data_out
);
`ifndef SYNTHESIS
    reg [WIDTH-1:0] rows [0:ROWS-1];
    reg [WIDTH-1:0] sensed [0:LATENCY-1];  // the row read last, on its way out
    reg [LATENCY-1:0] moving;              // which stages it has just entered
    reg [$clog2(ROWS)-1:0] open;           // its number, while it is destroyed
    integer destroyed;                     // cycles of restoring that it still needs
    integer age;                           // cycles since the last refresh
    reg used;
    integer stage;

    assign data_out = sensed[LATENCY-1];

    initial begin
        moving = 0;
        open = 0;
        destroyed = 0;
        age = 0;
        used = 0;
    end

    always @(posedge clk) begin
        moving[0] <= read === 1'b1;
        for (stage = 1; stage < LATENCY; stage = stage + 1) begin
            moving[stage] <= moving[stage-1];
            if (moving[stage-1]) sensed[stage] <= sensed[stage-1];
        end
        if (read) begin
            sensed[0] <= rows[row];
            if (RESTORE > 0) rows[row] <= ~rows[row];
            open <= row;
            destroyed <= RESTORE;
        end
        if (restore && destroyed > 0) begin
            destroyed <= destroyed - 1;
            if (destroyed == 1) rows[open] <= sensed[0];
        end
        if (write) begin
            rows[row] <= data_in;
            used <= 1;
        end
        age <= refresh || !used ? 1 : age + 1;

        if (read + write + restore + refresh > 1)
            $fatal(1, "%m: more than one command");
        if (destroyed > 0 && !restore)
            $fatal(1, "%m: row %0d is not restored", open);
        if ((read || write) && 32'(row) >= ROWS)
            $fatal(1, "%m: there is no row %0d", row);
        if (REFRESH_INTERVAL > 0 && used && !refresh && age >= REFRESH_INTERVAL)
            $fatal(1, "%m: no refresh in %0d cycles", REFRESH_INTERVAL);
    end
`endif
endmodule
