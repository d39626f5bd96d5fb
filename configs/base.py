"""Every field of a config: its meaning, unit, values, default and the default's source.

"P1" is Gao & Nevatia 2018 and "code" its published code. A list is written ('a','b') on
the command line. A field that may be empty is a placeholder.
"""

from ml_collections import config_dict

from configs import variants


def get_config(variant: str = "") -> config_dict.ConfigDict:
    """The configuration of temporal average pooling; other configs change it."""
    c = config_dict.ConfigDict()
    # Seed of initial weights, batches and augmentation, from 0.
    c.seed = 0
    # Checkpoint file or workdir of a run to start from; empty: random weights.
    c.init_from = config_dict.placeholder(str)

    # The network.
    c.model = config_dict.ConfigDict()
    # Name of `reid_jax.models.BACKBONES`. With "_ibn_a" at the end of a 2-D ResNet's
    # name, half of the channels are normalised per picture (Pan et al. 2018).
    c.model.backbone = "resnet50"
    # How T frames become one embedding: none, avg, max, attn_fc, attn_tconv, lstm, gru.
    c.model.temporal = "avg"
    # Weights of the attention: softmax (Eq. 2) or sigmoid (Eq. 3); P1 Table 4.
    c.model.attention_norm = "softmax"
    # Channels between the attention's two layers, d_t; P1 Sec. 4.2.
    c.model.attention_dim = 256
    # ReLU after both layers, as in the code; False: the paper's equations.
    c.model.attention_relu = True
    # Hidden size of LSTM and GRU; P1 Tables 6 and 7.
    c.model.rnn_dim = 512
    # Embedding of an RNN: the mean of its outputs, or the last one; P1 Sec. 3.1.
    c.model.rnn_output = "mean"
    # BNNeck (Luo et al. 2019): a BatchNorm between the embedding of the triplet loss
    # and that of classifier and retrieval.
    c.model.neck = False
    # "linear", or "cosine" (cosines of embedding and class weights, without a bias).
    c.model.classifier = "linear"
    # Whether to learn a centre for each training person, for the center loss.
    c.model.centers = False
    # Stride of the backbone's last layer, 2 or 1 (a larger map; Luo et al. 2019).
    c.model.last_stride = 2
    # Height and width of a frame in pixels; P1 Sec. 4.1.
    c.model.frame_size = (224, 112)
    # Frames in a clip, T; P1 Table 3.
    c.model.clip_length = 4
    # Type of the computation: float32, bfloat16, or float64 (tests).
    c.model.dtype = "float32"
    # BatchNorm in training: "batch" statistics, or "frozen" running statistics of the
    # initial weights.
    c.model.batch_norm = "batch"
    # Whether the backward pass computes blocks again instead of keeping them: a third
    # more work, less memory, the same step.
    c.model.remat = False

    # The dataset, and how batches are drawn from it.
    c.data = config_dict.ConfigDict()
    # Dataset to score on, and to train on unless `mixture` is set: mars,
    # walkers/street, …
    c.data.name = "mars"
    # Datasets to train on together.
    c.data.mixture = ()
    # Share of each dataset of `mixture` among the persons drawn; empty: every person
    # equally often.
    c.data.mixture_weights = ()
    # "files" (a prepared dataset), or "render" (a world of walkers, rendered during
    # training: no files, no TensorFlow, a new tracklet for each training clip).
    c.data.source = "files"
    # Number of persons of each world to train on with source="render"; empty: as many
    # as its files have for training.
    c.data.num_persons = config_dict.placeholder(int)
    # Folder of prepared datasets.
    c.data.data_dir = "datasets"
    # Where training frames are kept with source="files": on "disk" as JPEG, or decoded
    # in the memory of each "device" (MARS: 50 GB).
    c.data.cache = "disk"
    # Frames of a training clip: "consecutive" (P1 Sec. 3.2), or "restricted": one at
    # random from each of T equal parts of the tracklet (Li et al. 2018).
    c.data.sampling = "consecutive"
    # Persons in a batch, P; P1 Sec. 4.1.
    c.data.p = 8
    # Clips of each person in a batch, K; P1 Sec. 4.1.
    c.data.k = 4
    # Height and width to resize frames to before they are cropped to frame_size (at
    # random in training, in the middle in evaluation); empty: frame_size, without a
    # crop.
    c.data.resize = config_dict.placeholder(tuple)
    # Name of `reid_jax.input.pixels.NORMALIZATIONS`.
    c.data.normalization = "imagenet"
    # File of the mean cube that normalization="c3d_cube" subtracts.
    c.data.mean_cube = config_dict.placeholder(str)

    # Augmentation of training clips. Flip and crop are for files only. All other fields
    # are for rendered clips too. The formulas of the colour changes, and their order,
    # are in reid_jax/input/colors.py.
    c.augment = config_dict.ConfigDict()
    # Probability of a horizontal flip; code.
    c.augment.flip = 0.5
    # Probability of a random crop of data.resize, or of 1.125 times frame_size; code.
    c.augment.crop = 0.5
    # Probability of random erasing (Zhong et al. 2020).
    c.augment.erase = 0.0
    # Probability that the six changes below, brightness to gamma, are made; MoCo v2:
    # 0.8.
    c.augment.jitter = 0.0
    # Brightness is multiplied by 1 ± this; MoCo v2's code (Chen et al. 2020).
    c.augment.brightness = 0.4
    # Contrast is multiplied by 1 ± this; MoCo v2's code.
    c.augment.contrast = 0.4
    # Saturation is multiplied by 1 ± this; MoCo v2's code.
    c.augment.saturation = 0.4
    # The hue turns by ± this share of a circle; MoCo v2's code.
    c.augment.hue = 0.1
    # Each channel is multiplied by a number from 1 / (1 + this) to 1 + this.
    c.augment.white_balance = 0.0
    # Values in 0..1 are raised to a power from 1 / (1 + this) to 1 + this.
    c.augment.gamma = 0.0
    # Probability that each channel is stretched to the whole range.
    c.augment.autocontrast = 0.0
    # Probability of a grey picture; MoCo v2: 0.2.
    c.augment.grayscale = 0.0
    # Probability of a Gaussian blur; MoCo v2: 0.5.
    c.augment.blur = 0.0
    # Largest standard deviation of the blur in pixels of frame_size (the smallest is
    # 0.1); MoCo v2: 2.0 of 224 pixels.
    c.augment.blur_sigma = 1.0
    # Whether augmentation is drawn for each frame, as the code does, or once for a
    # clip.
    c.augment.per_frame = False

    # The losses: metric loss × triplet_weight + classification × cross_entropy_weight +
    # center loss × center_weight.
    c.loss = config_dict.ConfigDict()
    # Metric loss: "triplet" (batch-hard, Eq. 4), "soft_triplet" (without a margin,
    # Hermans et al. 2017) or "circle" (Sun et al. 2020).
    c.loss.metric = "triplet"
    # Classification: "softmax" (Eq. 5), or "cosface" or "arcface" (with a margin; they
    # need model.classifier="cosine").
    c.loss.classifier = "softmax"
    # Margin m of Eq. 4, in units of the L2 distance; code.
    c.loss.margin = 0.3
    # Label smoothing of the cross-entropy; code. Eq. 5 has none: 0.0.
    c.loss.label_smoothing = 0.1
    # Triplet loss over anchors: "mean" (code) or "sum" (Eq. 4).
    c.loss.triplet_reduction = "mean"
    # Weight of the metric loss (Eq. 6); 0.0 in paper 2.
    c.loss.triplet_weight = 1.0
    # Weight of the classification loss (Eq. 6).
    c.loss.cross_entropy_weight = 1.0
    # Margin m of the circle loss; Sun et al. 2020, Eq. 8.
    c.loss.circle_margin = 0.25
    # Scale γ of the circle loss.
    c.loss.circle_scale = 64.0
    # Margin of cosines in "cosface", of angles in radians in "arcface".
    c.loss.cosine_margin = 0.35
    # Scale s of "cosface" and "arcface": cosines are multiplied by it before the
    # softmax.
    c.loss.cosine_scale = 30.0
    # Weight of the center loss (Wen et al. 2016); above 0 it needs model.centers. Luo
    # et al. 2019 use 5e-4.
    c.loss.center_weight = 0.0

    # Training.
    c.train = config_dict.ConfigDict()
    # "adam" or "sgd".
    c.train.optimizer = "adam"
    # Momentum of SGD; paper 2, Sec. IV-A.
    c.train.momentum = 0.9
    # Learning rate after the warm-up; P1 Sec. 4.2.
    c.train.learning_rate = 3e-4
    # L2 penalty on every parameter, added to the gradient; code.
    c.train.weight_decay = 5e-4
    # Number of epochs. In one epoch, every training person occurs once; code.
    c.train.epochs = 800
    # Epochs after which the learning rate is multiplied by decay_factor; code.
    c.train.decay_every_epochs = 200
    # Factor on the learning rate; code.
    c.train.decay_factor = 0.1
    # Epochs in which the learning rate rises from 0, linearly.
    c.train.warmup_epochs = 0.0
    # Number of parts in which a batch is computed, to save memory. The losses see the
    # whole batch.
    c.train.accumulate = 1
    # Steps after which a run stops early; 0: only score the initial weights.
    c.train.max_steps = config_dict.placeholder(int)
    # Epochs between two evaluations; there is one at the end, too.
    c.train.eval_every_epochs = 40
    # Epochs between two checkpoints; also at the end and when interrupted.
    c.train.checkpoint_every_epochs = 10
    # Steps between two lines of the log.
    c.train.log_every_steps = 10
    # (first, last): a trace of these steps is written to <workdir>/profile, for
    # TensorBoard and Perfetto.
    c.train.profile_steps = ()

    # Evaluation.
    c.eval = config_dict.ConfigDict()
    # Clips in a batch.
    c.eval.batch_clips = 64
    # Number of frames of each tracklet that are used, from the first on; empty: all.
    c.eval.max_frames = config_dict.placeholder(int)
    # Variance of white Gaussian noise on query and gallery, pixels in 0..1; paper 2:
    # 1e-4 to 3e-3.
    c.eval.noise = 0.0
    # Whether to subtract the mean embedding of each camera before distances are
    # computed. A camera with fewer than 5 tracklets gets the mean of all cameras.
    c.eval.center_cameras = False
    # Distances: l2, cosine, xqda, kissme; several with commas. "+qe" expands queries by
    # their nearest gallery entries, "+qe+dba" the gallery too: l2+qe.
    c.eval.metric = "l2"
    # Neighbours that an expansion takes.
    c.eval.expansion_k = 5
    # A neighbour's weight is its cosine to this power; 0: a plain mean (Radenović et
    # al. 2018).
    c.eval.expansion_alpha = 3.0
    # Whether to score each metric with k-reciprocal re-ranking, too.
    c.eval.rerank = False
    # Re-ranking's k1; Zhong et al. 2017, Sec. 4.1.
    c.eval.rerank_k1 = 20
    # Re-ranking's k2.
    c.eval.rerank_k2 = 6
    # Re-ranking's λ.
    c.eval.rerank_lambda = 0.3
    # Added to the covariance within persons; the published code's λ.
    c.eval.xqda_regularizer = 1e-3
    # Dimensions of the PCA before KISSME.
    c.eval.kissme_dim = 128
    # Average precision: "step" (the papers' code) or "trapezoid" (MARS's own script).
    c.eval.ap = "step"
    # Protocol of the first row: torchreid or official; on MARS also no_distractor,
    # clean.
    c.eval.protocol = "torchreid"
    # Whether to score a colour histogram and the untrained network, too.
    c.eval.baselines = False
    # Whether to draw ranked lists, curves and attention.
    c.eval.pictures = True
    # Picture of all embeddings: "pca" or "tsne".
    c.eval.map = "pca"
    # Checkpoint to score: "latest", or "best". Which one is best is decided by the same
    # mAP that is then reported.
    c.eval.checkpoint = "latest"
    return variants.apply(c, variant)


def whole_dataset(name: str) -> str:
    """Names the data set behind a dataset's name: its splits share their persons."""
    dataset = name.split("/")[0]
    # The configs of these datasets have no person in common.
    is_separate = dataset in ("walkers", "tracklet_folder", "image_folder")
    return name if is_separate else dataset
