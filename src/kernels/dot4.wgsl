// y ← y + y · b, dot products of four bytes: 8 chains per invocation, ROUNDS times; out[i] = their sum
// Shapes: out [count, 4].   Grid: count / 64.   Bytes moved: out once.
// Twin: calibrate::DOT4.   Joined with: call.
const ROUNDS: u32 = 256u;

struct Params { count: u32, p1: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;

const B: u32 = 0x7f03fd81u;

fn next(y: vec4<i32>) -> vec4<i32> {
    let z = bitcast<vec4<u32>>(y);
    return y + vec4<i32>(dot4I8Packed(z.x, B), dot4I8Packed(z.y, B), dot4I8Packed(z.z, B), dot4I8Packed(z.w, B));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (id.x >= params.count) { return; }
    var y0 = vec4<i32>(i32(lane)) + vec4<i32>(0, 1, 2, 3);
    var y1 = y0 + 4;
    var y2 = y0 + 8;
    var y3 = y0 + 12;
    var y4 = y0 + 16;
    var y5 = y0 + 20;
    var y6 = y0 + 24;
    var y7 = y0 + 28;
    for (var i = 0u; i < ROUNDS; i++) {
        y0 = next(y0);
        y1 = next(y1);
        y2 = next(y2);
        y3 = next(y3);
        y4 = next(y4);
        y5 = next(y5);
        y6 = next(y6);
        y7 = next(y7);
    }
    out[id.x] = bitcast<vec4<u32>>(y0 + y1 + y2 + y3 + y4 + y5 + y6 + y7);
}
