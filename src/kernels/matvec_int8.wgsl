// One row times a matrix in byte dot products, with its neighbours in a decoding step fused: as matvec.wgsl.
// Rounding: z becomes bytes times a scale, for every group of 32. Sums of a group are exact.
// Shapes, parameters, bindings and grid: as matvec.wgsl, without f32 and f16 weights.
//   LANES · SPLIT groups of z at a time pass through workgroup memory as bytes, each rounded by one invocation. Per
//   group an invocation then reads 2 vec4 and computes 32 dot products of four bytes for its 4 columns.
// Bytes moved: the matrix once, x and gamma rows / (4 · LANES) times.
// Workgroup memory: 56 bytes per invocation; two barriers per LANES · SPLIT groups, and one.
// Limits: as matvec.wgsl; K a multiple of 32; LANES · SPLIT at most 256.
// Twin: matvec::reference, up to the rounding.   Joined with: call, weight, cache_write, row.
const WEIGHT_TYPE: u32 = 3u; // 2 and above, as in shared/weight.wgsl
const EPILOGUE: u32 = 3u;
const NORM: u32 = 1u;
const BIAS: u32 = 1u;
const HEAD_ROW: u32 = 0u;
const LANES: u32 = 16u;
const SPLIT: u32 = 4u;
const HEAD_SIZE: u32 = 64u;
const Q_HEADS: u32 = 4u;
const K_HEADS: u32 = 4u;
const V_HEADS: u32 = 4u;
const CACHE_F16: u32 = 1u;

const CHUNK: u32 = LANES * SPLIT; // groups of 32 values of the row in workgroup memory, one for each invocation

// A group of the row as bytes: values 0 to 15, then values 16 to 31; its scale, and the sums of both halves.
var<workgroup> z_bytes: array<array<vec4<u32>, 2>, CHUNK>;
var<workgroup> z_scales: array<vec2<f32>, CHUNK>; // scale, scale · Σ bytes
var<workgroup> partial: array<vec4<f32>, CHUNK>;
var<private> squares: vec4<f32>; // Σ x² of the groups that this invocation has rounded

fn largest(a: vec4<f32>) -> f32 {
    let b = max(abs(a.xy), abs(a.zw));
    return max(b.x, b.y);
}

fn input(i: u32, x_base: u32) -> vec4<f32> {
    let z = x[x_base + i];
    if (NORM == 0u) { return z; }
    squares += z * z;
    return z * gamma[i];
}

fn rounded(a: vec4<f32>, inverse: f32) -> u32 { return pack4xI8(vec4<i32>(round(a * inverse))); }

fn dot16(sum: i32, a: vec4<u32>, b: vec4<u32>) -> i32 {
    return sum + dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

// Rounds a group of the row to bytes.
fn load(slot: u32, group: u32, x_base: u32) {
    let i = 8u * group;
    let a = mat4x4<f32>(input(i, x_base), input(i + 1u, x_base), input(i + 2u, x_base), input(i + 3u, x_base));
    let b = mat4x4<f32>(input(i + 4u, x_base), input(i + 5u, x_base), input(i + 6u, x_base), input(i + 7u, x_base));
    let low = largest(vec4<f32>(largest(a[0]), largest(a[1]), largest(a[2]), largest(a[3])));
    let top = max(low, largest(vec4<f32>(largest(b[0]), largest(b[1]), largest(b[2]), largest(b[3]))));
    // The inverse of a smaller value would not be finite.
    let inverse = select(0.0, 127.0 / top, top > 1e-35);
    let first = vec4<u32>(rounded(a[0], inverse), rounded(a[1], inverse), rounded(a[2], inverse), rounded(a[3], inverse));
    let more = vec4<u32>(rounded(b[0], inverse), rounded(b[1], inverse), rounded(b[2], inverse), rounded(b[3], inverse));
    z_bytes[slot][0] = first;
    z_bytes[slot][1] = more;
    let ones = vec4<u32>(0x01010101u);
    z_scales[slot] = top / 127.0 * vec2<f32>(1.0, f32(dot16(dot16(0, first, ones), more, ones)));
}

// Returns a group of a column times that of the row.
fn product(group: u32, n: u32, low: vec4<u32>, high: vec4<u32>, scales: vec2<f32>) -> f32 {
    let sum = dot16(0, low, half_bytes(group, 0u, n));
    let a = scale_offset(group, 0u, n);
    if (HALF_SCALES) {
        let more = dot16(0, high, half_bytes(group, 1u, n));
        return (f32(sum) * a.x + f32(more) * scale_offset(group, 1u, n).x) * scales.x;
    }
    let y = f32(dot16(sum, high, half_bytes(group, 1u, n))) * (a.x * scales.x);
    if (OFFSET) { return y + a.y * scales.y; }
    return y;
}

@compute @workgroup_size(LANES * SPLIT)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = columns(group.x * LANES + lane % LANES);
    let column = params.plane_first + min(n, vec4<u32>(params.rows - 1u));
    let x_base = select(0u, call.head_row * (params.k / 4u), HEAD_ROW == 1u);
    let groups = params.k / 32u;
    var y = vec4<f32>(0.0);
    for (var first = 0u; first < groups; first += CHUNK) {
        if (first + lane < groups) { load(lane, first + lane, x_base); }
        workgroupBarrier();
        let end = min(CHUNK, groups - first);
        for (var i = lane / LANES; i < end; i += SPLIT) {
            let low = z_bytes[i][0];
            let high = z_bytes[i][1];
            let scales = z_scales[i];
            y += vec4<f32>(
                product(first + i, column.x, low, high, scales),
                product(first + i, column.y, low, high, scales),
                product(first + i, column.z, low, high, scales),
                product(first + i, column.w, low, high, scales),
            );
        }
        workgroupBarrier();
    }
    // The scales have been read.
    partial[lane] = y;
    z_scales[lane].x = dot(squares, vec4<f32>(1.0));
    workgroupBarrier();
    if (lane >= LANES) { return; }
    for (var i = lane + LANES; i < CHUNK; i += LANES) { y += partial[i]; }
    var square = 0.0;
    if (NORM == 1u) {
        for (var i = 0u; i < CHUNK; i++) { square += z_scales[i].x; }
    }
    finish(n, y, square);
}
