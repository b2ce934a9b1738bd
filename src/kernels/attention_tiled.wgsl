// out[t, h] = Σ_s softmax_s(q[t, h] · k[s, h'] / √D) v[s, h'],  h' = h / (heads / kv_heads), by workgroups: for GPUs
// Shapes and bindings: as attention.wgsl.
// Grid: (T / 64, heads). A workgroup computes 64 rows of a head and reads the keys in blocks of 32. Scores and outputs
//   are the same kind of product, [64, 32] · [32, 32] from workgroup memory, 4 × 4 per invocation: first queries times
//   keys, 32 elements of a head per round; then the softmax weights times values, 32 elements of a head per round.
// Bytes moved: K, V and the rows of q T / 64 times.   Scores stay in the workgroup.
// Workgroup memory: 14 KiB. Barriers: 4 · D / 32 + 1 per 32 keys. Bank conflicts: none, because neighbouring
//   invocations have different rows and read neighbouring vec4.
// Limits: D a multiple of 4, at most 256.
// Twin: attention::reference.   Joined with: call, cache.   Source: arXiv 2205.14135 (online softmax: 1805.02867)
const HEAD_SIZE: u32 = 64u;
const CACHE_F16: u32 = 1u;

struct Params { rows: u32, heads: u32, kv_heads: u32, causal: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

const LEAST: f32 = -3.0e38;

fn largest(a: vec4<f32>) -> f32 { return max(max(a.x, a.y), max(a.z, a.w)); }

const ROWS: u32 = 64u; // of queries
const ROW_QUADS: u32 = ROWS / 4u;
const DEPTH: u32 = 32u; // of every product: elements of a head, or keys
const QUADS: u32 = DEPTH / 4u; // of keys, or of elements of a head
const CHUNKS: u32 = (HEAD_PARTS + QUADS - 1u) / QUADS;

// Queries [element][rows 4i ..], or weights [key][rows 4i ..].
var<workgroup> left: array<array<vec4<f32>, ROW_QUADS>, DEPTH>;
// Keys [element][keys 4i ..], or values [key][elements 4i ..].
var<workgroup> right: array<array<vec4<f32>, QUADS>, DEPTH>;
var<workgroup> gathered: array<vec4<f32>, QUADS * ROW_QUADS>; // one value per row from each of its invocations
// Outputs, 32 elements of a head each; a column per row of q.
var<private> o0: mat4x4<f32>;
var<private> o1: mat4x4<f32>;
var<private> o2: mat4x4<f32>;
var<private> o3: mat4x4<f32>;
var<private> o4: mat4x4<f32>;
var<private> o5: mat4x4<f32>;
var<private> o6: mat4x4<f32>;
var<private> o7: mat4x4<f32>;
var<private> own_rows: u32; // row quad of the product
var<private> own: u32; // key quad, or quad of elements

// Loads 32 elements of 64 queries. Rows past the end repeat the last one; elements past the end of a head are zero.
fn load_queries(lane: u32, chunk: u32, t: u32, rows: u32, head: u32) {
    let quad = lane % ROW_QUADS;
    let within = lane / ROW_QUADS;
    let part = min(chunk * QUADS + within, HEAD_PARTS - 1u);
    let row = min(vec4<u32>(t + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows - 1u));
    let at = (row * params.heads + head) * HEAD_PARTS + part;
    let turned = transpose(mat4x4<f32>(q[at.x], q[at.y], q[at.z], q[at.w]));
    let scale = select(0.0, inverseSqrt(f32(HEAD_SIZE)), chunk * QUADS + within < HEAD_PARTS);
    left[4u * within + 0u][quad] = turned[0] * scale;
    left[4u * within + 1u][quad] = turned[1] * scale;
    left[4u * within + 2u][quad] = turned[2] * scale;
    left[4u * within + 3u][quad] = turned[3] * scale;
}

// Loads 32 elements of 32 keys. Keys past the end repeat the last one, and the softmax ignores their scores.
fn load_keys(lane: u32, chunk: u32, s: u32, reach: u32, kv: u32) {
    let quad = lane % QUADS;
    let within = lane / QUADS;
    if (within >= QUADS) { return; }
    let part = min(chunk * QUADS + within, HEAD_PARTS - 1u);
    let key = min(vec4<u32>(s + 4u * quad) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(reach - 1u));
    let at = (key * params.kv_heads + kv) * HEAD_PARTS + part;
    let turned = transpose(mat4x4<f32>(keys(at.x), keys(at.y), keys(at.z), keys(at.w)));
    right[4u * within + 0u][quad] = turned[0];
    right[4u * within + 1u][quad] = turned[1];
    right[4u * within + 2u][quad] = turned[2];
    right[4u * within + 3u][quad] = turned[3];
}

// Loads 32 elements of 32 values.
fn load_values(lane: u32, chunk: u32, s: u32, reach: u32, kv: u32) {
    for (var i = lane; i < DEPTH * QUADS; i += QUADS * ROW_QUADS) {
        let part = min(chunk * QUADS + i % QUADS, HEAD_PARTS - 1u);
        let key = min(s + i / QUADS, reach - 1u);
        right[i / QUADS][i % QUADS] = values((key * params.kv_heads + kv) * HEAD_PARTS + part);
    }
}

fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(b * a.x, b * a.y, b * a.z, b * a.w);
}

// Returns `start` and the product of what is loaded.
fn product(start: mat4x4<f32>) -> mat4x4<f32> {
    var sum = start;
    // Two at a time: with four, Intel's compiler has no registers left for the outputs of heads of 72 to 96.
    for (var i = 0u; i < DEPTH; i += 2u) {
        sum += outer(left[i][own_rows], right[i][own]);
        sum += outer(left[i + 1u][own_rows], right[i + 1u][own]);
    }
    return sum;
}

// Waits for the loads, adds their product, and waits until every invocation has.
fn product_of_loaded(start: mat4x4<f32>) -> mat4x4<f32> {
    workgroupBarrier();
    let sum = product(start);
    workgroupBarrier();
    return sum;
}

fn mixed(o: mat4x4<f32>, shrink: vec4<f32>, lane: u32, chunk: u32, s: u32, reach: u32, kv: u32) -> mat4x4<f32> {
    load_values(lane, chunk, s, reach, kv);
    return product_of_loaded(mat4x4<f32>(o[0] * shrink.x, o[1] * shrink.y, o[2] * shrink.z, o[3] * shrink.w));
}

fn put(row: u32, rows: u32, head: u32, chunk: u32, y: vec4<f32>) {
    let part = chunk * QUADS + own;
    if (row < rows && part < HEAD_PARTS) { out[(row * params.heads + head) * HEAD_PARTS + part] = y; }
}

fn store(o: mat4x4<f32>, total: vec4<f32>, t: u32, rows: u32, head: u32, chunk: u32) {
    put(t, rows, head, chunk, o[0] / total.x);
    put(t + 1u, rows, head, chunk, o[1] / total.y);
    put(t + 2u, rows, head, chunk, o[2] / total.z);
    put(t + 3u, rows, head, chunk, o[3] / total.w);
}

@compute @workgroup_size(QUADS * ROW_QUADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = rows_of(params.rows);
    let t = group.x * ROWS;
    let head = group.y;
    let kv = head / (params.heads / params.kv_heads);
    let reach = select(rows, call.pos + min(t + ROWS, rows), params.causal == 1u);
    own_rows = lane % ROW_QUADS;
    own = lane / ROW_QUADS;
    let row = vec4<u32>(t + 4u * own_rows) + vec4<u32>(0u, 1u, 2u, 3u);
    let seen = min(select(vec4<u32>(rows), call.pos + row + 1u, params.causal == 1u), vec4<u32>(reach));
    var most = vec4<f32>(LEAST);
    var total = vec4<f32>(0.0);
    for (var s = 0u; s < reach; s += DEPTH) {
        // A column per row of q. The zeros are explicit: without them Firefox keeps the values of the previous round.
        var scores = mat4x4<f32>(vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0));
        for (var chunk = 0u; chunk < CHUNKS; chunk++) {
            load_queries(lane, chunk, t, rows, head);
            load_keys(lane, chunk, s, reach, kv);
            scores = product_of_loaded(scores);
        }
        let key = vec4<u32>(s + 4u * own) + vec4<u32>(0u, 1u, 2u, 3u);
        let s0 = select(vec4<f32>(LEAST), scores[0], key < vec4<u32>(seen.x));
        let s1 = select(vec4<f32>(LEAST), scores[1], key < vec4<u32>(seen.y));
        let s2 = select(vec4<f32>(LEAST), scores[2], key < vec4<u32>(seen.z));
        let s3 = select(vec4<f32>(LEAST), scores[3], key < vec4<u32>(seen.w));
        gathered[own * ROW_QUADS + own_rows] = vec4<f32>(largest(s0), largest(s1), largest(s2), largest(s3));
        workgroupBarrier();
        var now = most;
        for (var i = 0u; i < QUADS; i++) { now = max(now, gathered[i * ROW_QUADS + own_rows]); }
        let shrink = exp(most - now);
        most = now;
        // A column per key.
        let weights = transpose(mat4x4<f32>(exp(s0 - now.x), exp(s1 - now.y), exp(s2 - now.z), exp(s3 - now.w)));
        total = total * shrink + weights[0] + weights[1] + weights[2] + weights[3];
        left[4u * own + 0u][own_rows] = weights[0];
        left[4u * own + 1u][own_rows] = weights[1];
        left[4u * own + 2u][own_rows] = weights[2];
        left[4u * own + 3u][own_rows] = weights[3];
        o0 = mixed(o0, shrink, lane, 0u, s, reach, kv);
        if (CHUNKS > 1u) { o1 = mixed(o1, shrink, lane, 1u, s, reach, kv); }
        if (CHUNKS > 2u) { o2 = mixed(o2, shrink, lane, 2u, s, reach, kv); }
        if (CHUNKS > 3u) { o3 = mixed(o3, shrink, lane, 3u, s, reach, kv); }
        if (CHUNKS > 4u) { o4 = mixed(o4, shrink, lane, 4u, s, reach, kv); }
        if (CHUNKS > 5u) { o5 = mixed(o5, shrink, lane, 5u, s, reach, kv); }
        if (CHUNKS > 6u) { o6 = mixed(o6, shrink, lane, 6u, s, reach, kv); }
        if (CHUNKS > 7u) { o7 = mixed(o7, shrink, lane, 7u, s, reach, kv); }
    }
    gathered[own * ROW_QUADS + own_rows] = total;
    workgroupBarrier();
    total = vec4<f32>(0.0);
    for (var i = 0u; i < QUADS; i++) { total += gathered[i * ROW_QUADS + own_rows]; }
    store(o0, total, row.x, rows, head, 0u);
    if (CHUNKS > 1u) { store(o1, total, row.x, rows, head, 1u); }
    if (CHUNKS > 2u) { store(o2, total, row.x, rows, head, 2u); }
    if (CHUNKS > 3u) { store(o3, total, row.x, rows, head, 3u); }
    if (CHUNKS > 4u) { store(o4, total, row.x, rows, head, 4u); }
    if (CHUNKS > 5u) { store(o5, total, row.x, rows, head, 5u); }
    if (CHUNKS > 6u) { store(o6, total, row.x, rows, head, 6u); }
    if (CHUNKS > 7u) { store(o7, total, row.x, rows, head, 7u); }
}
