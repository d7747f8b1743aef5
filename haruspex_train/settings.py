"""What the simulator draws from: the ranges that transferred to experimental maps in trials."""

from dataclasses import dataclass

from haruspex_train.working import VOXEL_SIZES


@dataclass(frozen=True)
class SimulationSettings:
    """What is drawn for each crop. Pairs are the ends of uniform ranges; others are probabilities.

    Attributes
    ----------
    voxel_size : tuple
        Å.
    class_weights : tuple of 4
        How often a residue of each class (other, helix, strand, nucleotide) is at the centre.
    resolution_bins : tuple of (probability, lowest, highest)
        Resolution (FSC = 0.143), Å.
    b_total : tuple of pairs
        Fall-off of the best-ordered atoms after sharpening for each bin, Å²; negative is over-sharpened.
    b_spread : tuple
        Share of the model's own spread of B factors that the crop keeps.
    b_field : tuple
        Amplitude of a smooth field of disorder (local resolution), Å²; `p_b_field`.
    b_side_chain : tuple
        Extra disorder of side chains, Å²; `p_b_side_chain`.
    lost_side_chains : tuple
        Share of residues without density for the side chain; `p_lost_side_chains`.
    side_oxygen : tuple
        Weight of side-chain oxygens: carboxylates scatter weakly and are damaged by the beam.
    weak_stretch : float
        Probability that a crop has stretches of 12 residues at a low occupancy.
    weak_share, weak_occupancy : tuple
        Share of the residues in such stretches, and their occupancy.
    fsc_slope : tuple
        Steepness of the logistic Fourier shell correlation.
    low_pass : tuple
        Final low-pass, in multiples of the resolution: nominal resolutions are those of whole maps, and the
        best part of a map, or one that was never filtered, holds more.
    p_unweighted : float
        Probability that amplitudes are not weighted by the FSC, so that noise is sharpened with the signal.
    solvent_contrast : tuple
        Contrast taken away at low resolution by bulk solvent (Babinet); `p_solvent`, otherwise up to 0.5
        is added.
    anisotropy : tuple
        Extra fall-off along one direction, Å²; `p_anisotropy`.
    noise : tuple
        Strength of noise relative to what the FSC implies.
    low_noise : tuple
        Strength of low-resolution noise, as a share of the density's spread.
    unexplained : tuple
        Strength of density that no atom explains, at the molecule and around it, relative to all density in
        each shell of resolution; `p_unexplained`.
    micelle, micelle_tails : tuple
        Density of the head groups of a belt of detergent or lipid, in that of dense protein, and of its tails
        in that of the heads; `p_micelle`.
    micelle_grain : tuple
        How far the belt's atoms stand at places of their own: 1 is all of them at random, 0 an even belt.
    b_micelle : tuple
        Their B factor, Å².
    p_micelle : float
        Probability of such a belt.
    p_blobs : float
        Probability of shapeless density beside the molecule (detergent, lipids, disordered domains).
    p_zone, p_soft_mask, p_flatten : float
        Probabilities of a hard zone mask, a soft mask and flattened solvent.
    p_part : float
        Probability, where there is a mask, that it keeps only a stretch of the model (a chain cut out).
    p_clamp : float
        Probability that negative density is cut away.
    p_gamma : float
        Probability of a non-linear scale as post-processing networks leave it.
    scale_jitter, offset_jitter : float
        Standard deviations of errors of normalisation (logarithm of the scale; offset).
    p_mirrored : float
        Probability that a crop is shown as its mirror image, in which nothing is helix, strand or nucleotide;
        only of crops better than `mirrored_to`, beyond which the hand cannot be seen.
    mirrored_to : float
        Resolution in Å.
    label_density : bool
        Whether faint voxels are *other*; see `labels.drop_faint`.
    """

    voxel_size: tuple[float, float] = (VOXEL_SIZES["min"], VOXEL_SIZES["max"])
    class_weights: tuple[float, ...] = (0.17, 0.28, 0.34, 0.21)
    resolution_bins: tuple[tuple[float, float, float], ...] = (
        (0.12, 1.7, 2.4),
        (0.73, 2.4, 4.2),
        (0.15, 4.2, 5.2),
    )
    b_total: tuple[tuple[float, float], ...] = ((-50.0, 60.0), (-55.0, 130.0), (-50.0, 190.0))
    b_spread: tuple[float, float] = (0.2, 1.3)
    b_field: tuple[float, float] = (0.0, 150.0)
    p_b_field: float = 0.6
    b_side_chain: tuple[float, float] = (0.0, 70.0)
    p_b_side_chain: float = 0.6
    lost_side_chains: tuple[float, float] = (0.0, 0.25)
    p_lost_side_chains: float = 0.5
    side_oxygen: tuple[float, float] = (0.2, 1.0)
    weak_stretch: float = 0.3
    weak_share: tuple[float, float] = (0.12, 0.12)
    weak_occupancy: tuple[float, float] = (0.35, 0.35)
    fsc_slope: tuple[float, float] = (8.0, 22.0)
    low_pass: tuple[float, float] = (0.65, 1.1)
    p_unweighted: float = 0.25
    solvent_contrast: tuple[float, float] = (0.1, 0.95)
    p_solvent: float = 0.85
    anisotropy: tuple[float, float] = (20.0, 150.0)
    p_anisotropy: float = 0.3
    noise: tuple[float, float] = (0.1, 1.5)
    low_noise: tuple[float, float] = (0.0, 0.15)
    unexplained: tuple[float, float] = (0.2, 0.9)
    p_unexplained: float = 0.0
    micelle: tuple[float, float] = (0.4, 1.1)
    micelle_tails: tuple[float, float] = (0.3, 0.8)
    micelle_grain: tuple[float, float] = (0.0, 1.2)
    b_micelle: tuple[float, float] = (80.0, 400.0)
    p_micelle: float = 0.0
    p_blobs: float = 0.25
    p_zone: float = 0.29
    p_soft_mask: float = 0.16
    p_flatten: float = 0.2
    p_part: float = 0.4
    p_clamp: float = 0.15
    p_gamma: float = 0.12
    scale_jitter: float = 0.25
    offset_jitter: float = 0.03
    p_mirrored: float = 0.0
    mirrored_to: float = 3.3
    label_density: bool = True
