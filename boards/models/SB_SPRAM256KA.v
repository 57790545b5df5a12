// Behaviour of the iCE40 UltraPlus single-port RAM as its data sheet gives it, always powered.
module SB_SPRAM256KA (
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    input [3:0] MASKWREN,
    input WREN, CHIPSELECT, CLOCK, STANDBY, SLEEP, POWEROFF,
    output reg [15:0] DATAOUT
);
    reg [15:0] rows [0:16383];
    wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};

    always @(posedge CLOCK)
        if (CHIPSELECT && !STANDBY && !SLEEP && POWEROFF) begin
            if (WREN) begin
                rows[ADDRESS] <= (rows[ADDRESS] & ~mask) | (DATAIN & mask);
                DATAOUT <= 16'hDEAD;  // undefined
            end else
                DATAOUT <= rows[ADDRESS];
        end
endmodule
