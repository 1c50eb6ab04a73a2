;; A fast check of F16 attention, four positions at a time. It clears most batches and never clears a bad one.
;; When it does not clear a batch, check-values.ts checks each value and names the fault.
;; After a change: npm run generate:docs
(module
  (import "batch" "memory" (memory 1))

  ;; Whether every value of the maps is in [0, 1] and no position of a map sums to more than `most` over its tokens.
  ;; The maps are consecutive in memory from `at`, each [tokens, area] of F16; `area` is 4 or more.
  (func (export "isSurelyAttention")
    (param $at i32) (param $maps i32) (param $tokens i32) (param $area i32) (param $most f32) (result i32)
    (local $tokenBytes i32) (local $position i32) (local $from i32) (local $left i32)
    (local $bits v128) ;; of four F16 values, widened to 32 bits each
    (local $sums v128) (local $largestSums v128) (local $largestBits v128)
    (local.set $tokenBytes (i32.mul (local.get $area) (i32.const 2)))
    (loop $eachMap
      (local.set $position (i32.const 0))
      (block $mapEnds
        (loop $eachFourPositions
          (local.set $from (i32.add (local.get $at) (i32.mul (local.get $position) (i32.const 2))))
          (local.set $sums (v128.const f32x4 0 0 0 0))
          (local.set $left (local.get $tokens))
          (loop $eachToken
            (local.set $bits (v128.load16x4_u align=2 (local.get $from)))
            ;; The bits of F16 values from 0 to 1 have the order of the values; the bits of all other values are larger.
            (local.set $largestBits (i32x4.max_u (local.get $largestBits) (local.get $bits)))
            (local.set $sums
              (f32x4.add
                (local.get $sums)
                (v128.bitselect
                  ;; From 2^-14 on: shift mantissa and exponent to their places in a float32, raise the bias from 15 to 127.
                  (i32x4.add
                    (i32x4.shl (local.get $bits) (i32.const 13))
                    (v128.const i32x4 0x38000000 0x38000000 0x38000000 0x38000000))
                  ;; Below 2^-14 the values are multiples of 2^-24.
                  (f32x4.mul
                    (f32x4.convert_i32x4_s (local.get $bits))
                    (v128.const f32x4 0x1p-24 0x1p-24 0x1p-24 0x1p-24))
                  (i32x4.ge_s (local.get $bits) (v128.const i32x4 0x400 0x400 0x400 0x400)))))
            (local.set $from (i32.add (local.get $from) (local.get $tokenBytes)))
            (br_if $eachToken (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (local.set $largestSums (f32x4.max (local.get $largestSums) (local.get $sums)))
          (local.set $position (i32.add (local.get $position) (i32.const 4)))
          (br_if $mapEnds (i32.ge_u (local.get $position) (local.get $area)))
          ;; The last four overlap those before them when the area is not a multiple of four.
          (local.set $position
            (select
              (local.get $position)
              (i32.sub (local.get $area) (i32.const 4))
              (i32.le_u (i32.add (local.get $position) (i32.const 4)) (local.get $area))))
          (br $eachFourPositions)))
      (local.set $at (i32.add (local.get $at) (i32.mul (local.get $tokenBytes) (local.get $tokens))))
      (br_if $eachMap (local.tee $maps (i32.sub (local.get $maps) (i32.const 1)))))
    (i32.and
      ;; 0x3c00 is 1.0.
      (i32x4.all_true (i32x4.le_u (local.get $largestBits) (i32x4.splat (i32.const 0x3c00))))
      ;; NaN fails this comparison too.
      (i32x4.all_true (f32x4.le (local.get $largestSums) (f32x4.splat (local.get $most)))))))
