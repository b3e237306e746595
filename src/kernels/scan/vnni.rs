//! The scan by bounds, in the instructions of AVX-512 VNNI.

use super::coarse::{Coarse, CoarseGroup, Codes};
use super::{GROUP, LANES, PANEL, Panel, Panels};
use crate::kernels::simd::x86::Avx512;
use crate::kernels::simd::{WIDTH, dot, flat};
use std::arch::x86_64::*;

/// As [`super::scan`]. A score is the inner product in the order of
/// [`crate::kernels::simd::dot`], plus the bias, plus the offset.
///
/// # Safety
/// The machine has these instructions, as it has where there is a [`Coarse`].
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub unsafe fn scan(
    panels: &Panels,
    coarse: &Coarse,
    (vectors, offsets): (&[f32], &[f32]),
    mut visit: impl FnMut(usize, usize, u32, &[f32; PANEL]) -> f32,
) {
    let parts = vectors.chunks(GROUP * panels.dim);
    let mut groups: Vec<CoarseGroup> = parts
        .zip(offsets.chunks(GROUP))
        .map(|(vectors, offsets)| coarse.group(vectors, offsets))
        .collect();
    let mut exact = [0.0; PANEL];
    let mut found: Vec<[u32; GROUP]> = Vec::with_capacity(groups.len());
    let codes = coarse.codes.chunks_exact(coarse.steps() * LANES);
    for (number, (codes, biases)) in codes.zip(&panels.biases).enumerate() {
        found.clear();
        for group in &groups {
            let above = bounds_above(coarse, number, codes, biases, group);
            // By the time they are scored, the rows have come.
            let any = above.iter().fold(0, |any, bits| any | bits);
            for_each_bit(any, |bit| coarse.prefetch(number * PANEL + bit));
            found.push(above);
        }
        for ((first, group), above) in (0..).step_by(GROUP).zip(&mut groups).zip(&found) {
            for (place, &bits) in above.iter().enumerate() {
                if bits == 0 {
                    continue;
                }
                score(coarse, number, (biases, bits), (group, place), &mut exact);
                let threshold = visit(first + place, number, bits, &exact);
                group.set_threshold(place, threshold);
            }
        }
    }
}

#[inline(always)]
fn for_each_bit(mut bits: u32, mut visit: impl FnMut(usize)) {
    while bits != 0 {
        visit(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// For each user of a group the items of a panel that may beat the threshold.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512vnni,avx2,fma")]
fn bounds_above(
    coarse: &Coarse,
    panel: usize,
    codes: &[Codes],
    biases: &Panel,
    group: &CoarseGroup,
) -> [u32; GROUP] {
    let mut sums = [[_mm512_setzero_si512(); LANES]; GROUP];
    for (sums, &start) in sums.iter_mut().zip(&group.starts) {
        *sums = [_mm512_set1_epi32(start); LANES];
    }
    for (items, users) in codes.chunks_exact(LANES).zip(&group.codes) {
        let mut lanes = [_mm512_setzero_si512(); LANES];
        for (lane, codes) in lanes.iter_mut().zip(items) {
            // SAFETY: codes are one vector, aligned.
            *lane = unsafe { _mm512_load_si512(codes.0.as_ptr().cast()) };
        }
        for (sums, &user) in sums.iter_mut().zip(users) {
            let user = _mm512_set1_epi32(user as i32);
            for (sum, lane) in sums.iter_mut().zip(lanes) {
                *sum = _mm512_dpbusd_epi32(*sum, lane, user);
            }
        }
    }
    let mut above = [0; GROUP];
    for lane in 0..LANES {
        let at = panel * LANES + lane;
        let load = |lane: &crate::kernels::simd::Lane| {
            // SAFETY: a lane is one vector, aligned.
            unsafe { _mm512_load_ps(lane.0.as_ptr()) }
        };
        let (scales, norms) = (load(&coarse.scales[at]), load(&coarse.norms[at]));
        let bias = load(&biases[lane]);
        for (place, sums) in sums.iter().enumerate() {
            let splat = |values: &[f32; GROUP]| _mm512_set1_ps(values[place]);
            let room = _mm512_fmadd_ps(
                norms,
                splat(&group.errors),
                _mm512_mul_ps(bias, splat(&group.inverse_scales)),
            );
            let bound = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[lane]), scales, room);
            let bits = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(bound, splat(&group.thresholds));
            above[place] |= u32::from(bits) << (lane * WIDTH);
        }
    }
    above
}

/// The exact scores of some of a panel's items.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512vnni,avx2,fma")]
fn score(
    coarse: &Coarse,
    panel: usize,
    (biases, bits): (&Panel, u32),
    (group, place): (&CoarseGroup, usize),
    exact: &mut [f32; PANEL],
) {
    let per_row = coarse.per_row();
    let user = &group.rows[place * per_row..][..per_row];
    for_each_bit(bits, |bit| {
        if let Some(row) = coarse.row(panel * PANEL + bit) {
            exact[bit] = dot::<Avx512>(user, row) + flat(biases)[bit] + group.offsets[place];
        }
    });
}
