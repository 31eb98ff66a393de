//! Clips that made sets consist of.

/// Clips of the published lists: six of two classes for training, one for the test.
pub const CREMAD: [&str; 14] = [
    "1088_IOM_NEU_XX",
    "1068_IOM_NEU_XX",
    "1072_ITS_NEU_XX",
    "1087_TIE_NEU_XX",
    "1040_ITS_NEU_XX",
    "1050_TIE_NEU_XX",
    "1017_IWW_HAP_XX",
    "1033_ITS_HAP_XX",
    "1009_IEO_HAP_HI",
    "1011_DFA_HAP_XX",
    "1019_IEO_HAP_LO",
    "1034_IEO_HAP_LO",
    "1041_TIE_NEU_XX",
    "1016_IEO_HAP_LO",
];
pub const KINETICS: [&str; 14] = [
    "-00nar1nEPc_000033_000043",
    "-8p7pwxhob8_000002_000012",
    "-D0f4exnx9M_000005_000015",
    "-LMCI_EBJvc_000409_000419",
    "-LgzJAo3xn8_000017_000027",
    "-VZ3LiN_qIs_000045_000055",
    "-Q8pn_086zo_000202_000212",
    "-Sw56gTpqS0_000014_000024",
    "-WxSY9sL3qo_000053_000063",
    "-rVZGOHdeso_000064_000074",
    "0MbpR9XFRUI_000205_000215",
    "0NN2c3H81tI_000002_000012",
    "-xPFXfkMZFw_2",
    "-74csnCOiUs_0",
];
