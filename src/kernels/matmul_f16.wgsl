// out[m, first + n] = f(Σ_k x[m, k] · w[n, k] + bias[first + n] + out[m, first + n]), for GPUs that multiply f16 faster
// Rounding: activations of a group of 32 are divided by their largest magnitude and rounded to f16; quantised weights
//   enter as the integers q − CENTRE. Sums of a group are f16, sums of groups f32: nothing overflows or vanishes.
// Shapes, weights, parameters and bindings: as matmul.wgsl, without f32 and f16 weights.
// Grid: (rows / COLS, M / ROWS). A workgroup computes a tile of ROWS × COLS, an invocation 8 × 8 of it in registers.
//   For every group the operands pass through workgroup memory: rows are scaled, columns transposed so that k is
//   outermost. Per four k an invocation reads 16 vec4 and performs 256 multiply-adds.
// Bank conflicts: none. Neighbouring invocations read neighbouring vec4 (columns), or the same one (rows).
// Bytes moved: the weights M / ROWS times, x rows / COLS times, out once.
// Workgroup memory: 72 · ROWS + 76 · COLS bytes, 14 KiB for 64 × 128; two barriers per group.
// Limits: as matmul.wgsl; K a multiple of 32; ROWS and COLS multiples of 8; ROWS · COLS / 64 invocations, at most 256.
// Twin: matmul::reference, up to the rounding.   Joined with: call, weight, epilogue, tile.
enable f16;
const WEIGHT_TYPE: u32 = 3u; // 2 and above, as in shared/weight.wgsl
const ROWS: u32 = 64u;
const COLS: u32 = 128u;

const GROUP_PARTS: u32 = 8u;

var<workgroup> x_tile: array<vec4<f16>, GROUP_PARTS * ROWS>; // [part][row]
var<workgroup> w_tile: array<vec4<f16>, 4u * GROUP_PARTS * COL_QUADS>; // [k][columns i, i + COL_QUADS, ..]
var<workgroup> x_scales: array<vec2<f32>, ROWS>; // scale, and scale · Σ
var<workgroup> low_scales: array<vec4<f32>, COL_QUADS>;
var<workgroup> high_scales: array<vec4<f32>, COL_QUADS>;
var<workgroup> offsets: array<vec4<f32>, COL_QUADS>;
// Sums of a group, as s00 to s11 are of all groups.
var<private> h00: mat4x4<f16>;
var<private> h01: mat4x4<f16>;
var<private> h10: mat4x4<f16>;
var<private> h11: mat4x4<f16>;

// Loads a group of a row. Rows past the end repeat the last one.
fn load_x(row: u32, group: u32, m: u32, m_rows: u32) {
    let at = min(m + row, m_rows - 1u) * (params.k / 4u) + GROUP_PARTS * group;
    var top = 0.0;
    for (var part = 0u; part < GROUP_PARTS; part++) { top = max(top, largest(x[at + part])); }
    // The inverse of a smaller value would not be finite.
    let inverse = select(0.0, 1.0 / top, top > 1e-35);
    var sum = vec4<f32>(0.0);
    for (var part = 0u; part < GROUP_PARTS; part++) {
        let a = vec4<f16>(x[at + part] * inverse);
        sum += vec4<f32>(a);
        x_tile[part * ROWS + row] = a;
    }
    x_scales[row] = top * vec2<f32>(1.0, dot(sum, vec4<f32>(1.0)));
}

// Returns the four centred q of a part of row n of the planes.
fn weights(part: u32, n: u32) -> vec4<f16> { return vec4<f16>(row_quants(part, n) - CENTRE); }

// Loads a part of a column quad; the first part of each half also loads its scales.
fn load_w(quad: u32, within: u32, group: u32, n: u32) {
    let part = group * GROUP_PARTS + within;
    let row = quad_weights(n + quad);
    let turned = transpose(mat4x4<f16>(
        weights(part, row.x),
        weights(part, row.y),
        weights(part, row.z),
        weights(part, row.w),
    ));
    let to = 4u * within * COL_QUADS + quad;
    w_tile[to] = turned[0];
    w_tile[to + COL_QUADS] = turned[1];
    w_tile[to + 2u * COL_QUADS] = turned[2];
    w_tile[to + 3u * COL_QUADS] = turned[3];
    if (within % 4u != 0u) { return; }
    let half = within / 4u;
    let a0 = scale_offset(group, half, row.x);
    let a1 = scale_offset(group, half, row.y);
    let a2 = scale_offset(group, half, row.z);
    let a3 = scale_offset(group, half, row.w);
    let scale = vec4<f32>(a0.x, a1.x, a2.x, a3.x);
    if (half == 1u) {
        high_scales[quad] = scale;
        return;
    }
    low_scales[quad] = scale;
    offsets[quad] = vec4<f32>(a0.y, a1.y, a2.y, a3.y) + CENTRE * scale;
}

fn rows(part: u32, first: u32) -> mat4x4<f16> {
    let at = part * ROWS + first;
    return mat4x4<f16>(x_tile[at], x_tile[at + 1u], x_tile[at + 2u], x_tile[at + 3u]);
}

fn columns(part: u32, quad: u32) -> mat4x4<f16> {
    let at = 4u * part * COL_QUADS + quad;
    return mat4x4<f16>(w_tile[at], w_tile[at + COL_QUADS], w_tile[at + 2u * COL_QUADS], w_tile[at + 3u * COL_QUADS]);
}

fn multiply(part: u32, row0: u32, row1: u32, column0: u32, both: bool) {
    let w0 = columns(part, column0);
    let w1 = columns(part, column0 + COL_QUADS / 2u);
    let x0 = rows(part, row0);
    h00 += w0 * x0;
    h01 += w1 * x0;
    if (both) {
        let x1 = rows(part, row1);
        h10 += w0 * x1;
        h11 += w1 * x1;
    }
}

fn scaled(h: mat4x4<f16>, row: u32, scales: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        vec4<f32>(h[0]) * (x_scales[row].x * scales),
        vec4<f32>(h[1]) * (x_scales[row + 1u].x * scales),
        vec4<f32>(h[2]) * (x_scales[row + 2u].x * scales),
        vec4<f32>(h[3]) * (x_scales[row + 3u].x * scales),
    );
}

// Adds the sums of a group, or of one half of it, to those of all groups.
fn flush(row0: u32, row1: u32, column0: u32, high: bool, both: bool) {
    let column1 = column0 + COL_QUADS / 2u;
    var scales0 = low_scales[column0];
    var scales1 = low_scales[column1];
    if (high) {
        scales0 = high_scales[column0];
        scales1 = high_scales[column1];
    }
    s00 += scaled(h00, row0, scales0);
    s01 += scaled(h01, row0, scales1);
    h00 = mat4x4<f16>();
    h01 = mat4x4<f16>();
    if (both) {
        s10 += scaled(h10, row1, scales0);
        s11 += scaled(h11, row1, scales1);
        h10 = mat4x4<f16>();
        h11 = mat4x4<f16>();
    }
}

fn outer(row: u32, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        b * x_scales[row].y,
        b * x_scales[row + 1u].y,
        b * x_scales[row + 2u].y,
        b * x_scales[row + 3u].y,
    );
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m_rows = rows_of(params.m);
    let m = group.y * ROWS;
    let n = group.x * COLS;
    let row0 = 4u * (lane / (COL_QUADS / 2u));
    let row1 = row0 + ROWS / 2u;
    let column0 = lane % (COL_QUADS / 2u);
    let column1 = column0 + COL_QUADS / 2u;
    for (var g = 0u; g < params.k / 32u; g++) {
        for (var i = lane; i < ROWS; i += INVOCATIONS) { load_x(i, g, m, m_rows); }
        for (var i = lane; i < COL_QUADS * GROUP_PARTS; i += INVOCATIONS) {
            load_w(i % COL_QUADS, i / COL_QUADS, g, n);
        }
        workgroupBarrier();
        // With few rows, whole subgroups have none of their own.
        if (m + row0 < m_rows) {
            let both = m + row1 < m_rows;
            for (var part = 0u; part < GROUP_PARTS; part++) {
                multiply(part, row0, row1, column0, both);
                if (HALF_SCALES && part == 3u) { flush(row0, row1, column0, false, both); }
            }
            flush(row0, row1, column0, true, both);
            if (OFFSET) {
                s00 += outer(row0, offsets[column0]);
                s01 += outer(row0, offsets[column1]);
                s10 += outer(row1, offsets[column0]);
                s11 += outer(row1, offsets[column1]);
            }
        }
        workgroupBarrier();
    }
    store_tile(m + row0, m_rows, n + column0);
}
