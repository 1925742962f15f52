// Mathematical functions of vectors: what csrc/ewise.def is written with, and what fused epilogues, softmax and the
// recurrent cells call.
//
// float is computed in vectors throughout, within 1 ulp (vexp) to 4 ulp; the polynomials are minimax fits on the
// reduced range named beside them. double has vectors for exp, log and what follows from them, and calls the C library
// lane by lane for the rest: it exists to check gradients, not to be fast. A NaN always comes out as NaN, so clamps are
// written with the constant as the chosen side.
#pragma once
#include "vexplog.h"
#include "vspecial.h"
#include "vtrig.h"
