// y ← y · a + b, ROUNDS times, in 8 independent chains of vec4; out[i] = their sum
// Shapes: out [count, 4].   Grid: count / 64.   Bytes moved: out once.
// Twin: calibrate::FMA.   Joined with: call.
const ROUNDS: u32 = 256u;

struct Params { count: u32, p1: u32, p2: u32, p3: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (id.x >= params.count) { return; }
    let start = f32(lane);
    let a = vec4<f32>(0.96875);
    let b = vec4<f32>(0.0, 0.25, 0.5, 0.75);
    var y0 = vec4<f32>(start);
    var y1 = vec4<f32>(start + 1.0);
    var y2 = vec4<f32>(start + 2.0);
    var y3 = vec4<f32>(start + 3.0);
    var y4 = vec4<f32>(start + 4.0);
    var y5 = vec4<f32>(start + 5.0);
    var y6 = vec4<f32>(start + 6.0);
    var y7 = vec4<f32>(start + 7.0);
    for (var i = 0u; i < ROUNDS; i++) {
        y0 = fma(y0, a, b);
        y1 = fma(y1, a, b);
        y2 = fma(y2, a, b);
        y3 = fma(y3, a, b);
        y4 = fma(y4, a, b);
        y5 = fma(y5, a, b);
        y6 = fma(y6, a, b);
        y7 = fma(y7, a, b);
    }
    out[id.x] = ((y0 + y1) + (y2 + y3)) + ((y4 + y5) + (y6 + y7));
}
