"""Every field of a run once: its unit, its default, where the default comes from.

"P1" is Gao & Nevatia 2018, "code" its published code. A list is given on the command
line as ('a','b'); a field that may be empty is a placeholder.
"""

from ml_collections import config_dict

from configs import variants


def get_config(variant: str = "") -> config_dict.ConfigDict:
    """The configuration of temporal average pooling; other configs change it."""
    c = config_dict.ConfigDict()
    c.seed = 0

    c.model = config_dict.ConfigDict()
    # See reid_jax.models.BACKBONES; 2-D ones with "_ibn_a" at the end normalise half of
    # the channels by picture, for cameras that were never met (Pan et al. 2018)
    c.model.backbone = "resnet50"
    c.model.temporal = "avg"  # none avg max attn_fc attn_tconv lstm gru
    c.model.attention_norm = "softmax"  # softmax (Eq. 2) or sigmoid (Eq. 3); P1 Table 4
    c.model.attention_dim = 256  # d_t, P1 Sec. 4.2
    c.model.attention_relu = True  # the code's ReLUs; False: the paper's equations
    c.model.rnn_dim = 512  # hidden size, P1 Tables 6 and 7
    c.model.rnn_output = "mean"  # mean of the outputs or the last one, P1 Sec. 3.1
    # BNNeck: the triplet loss before, classifier and retrieval after a BatchNorm
    c.model.neck = False
    # "linear", or "cosine": cosines of embedding and class weights, without a bias
    c.model.classifier = "linear"
    c.model.centers = False  # a centre for each training person, for the center loss
    c.model.last_stride = 2  # of the last layer; 1: a larger map. Luo et al. 2019
    c.model.frame_size = (224, 112)  # height, width in pixels, P1 Sec. 4.1
    c.model.clip_length = 4  # T, frames; P1 Table 3
    c.model.dtype = "float32"  # compute: float32, bfloat16 or (tests) float64
    # By the statistics of the "batch"; or "frozen": of the weights it starts from
    c.model.batch_norm = "batch"
    # Computes each block again in the backward pass: less memory, the same step
    c.model.remat = False

    c.data = config_dict.ConfigDict()
    c.data.name = "mars"  # TFDS name: mars, walkers/street_small, …
    # Datasets to train on together in place of name, which then is what is scored
    c.data.mixture = ()
    # Their shares of the identities drawn; empty: every identity equally often
    c.data.mixture_weights = ()
    # "files": a prepared dataset; "render": a world of walkers, rendered as it goes,
    # without files (and without TensorFlow), each training clip from a new tracklet.
    c.data.source = "files"
    # Of "render": persons to train on, of each world; empty: as many as its files have
    c.data.num_persons = config_dict.placeholder(int)
    c.data.data_dir = "datasets"  # prepared datasets
    # Of "files", where frames wait: on the "disk" (and in the system's file cache), or
    # the training frames decoded on each "device" (MARS: 50 GB)
    c.data.cache = "disk"
    # Frames of a training clip: "consecutive" ones (P1 Sec. 3.2), or "restricted": one
    # at random from each of T equal parts of the tracklet (Li et al. 2018)
    c.data.sampling = "consecutive"
    c.data.p = 8  # identities a batch, P1 Sec. 4.1 (32 clips, 4 of each identity)
    c.data.k = 4  # clips of each identity
    # Height, width that frames are resized to before they are cropped to frame_size (at
    # random in training, the middle in evaluation); empty: resized to frame_size.
    c.data.resize = config_dict.placeholder(tuple)
    c.data.normalization = "imagenet"  # see reid_jax.input.pixels.NORMALIZATIONS
    c.data.mean_cube = config_dict.placeholder(str)  # file, for "c3d_cube"

    c.augment = config_dict.ConfigDict()  # of training clips
    # Flip and crop are for files: what is rendered is new anyway.
    c.augment.flip = 0.5  # probability of a horizontal flip; code
    # Probability of a random crop, of data.resize or of 1.125 times the size; code
    c.augment.crop = 0.5
    c.augment.erase = 0.0  # probability of random erasing (Zhong et al. 2020)
    # For cameras that were never met, of files and rendered clips; formulas and order
    # are in reid_jax/input/colors.py. All are off by default. Probability that a clip's
    # colours are jittered, by the six that follow together:
    c.augment.jitter = 0.0
    # Factors are drawn from 1 ± this, cut at 0. These four ranges are of MoCo v2's code
    # (Chen et al. 2020), whose jitter is 0.8.
    c.augment.brightness = 0.4
    c.augment.contrast = 0.4
    c.augment.saturation = 0.4
    c.augment.hue = 0.1  # it turns by ± this, 0.5 is half a circle
    # Each channel's gain, and an exponent, from 1 / (1 + this) to 1 + this
    c.augment.white_balance = 0.0
    c.augment.gamma = 0.0
    c.augment.autocontrast = 0.0  # probability: each channel is stretched to 0..255
    c.augment.grayscale = 0.0  # probability of a grey picture; MoCo v2: 0.2
    c.augment.blur = 0.0  # probability of a Gaussian blur; MoCo v2: 0.5
    # Its largest standard deviation in pixels of frame_size, the smallest is 0.1; MoCo
    # v2: 2.0 of 224 pixels
    c.augment.blur_sigma = 1.0
    # True: all of augment is drawn for each frame by itself, as the code does it
    c.augment.per_frame = False

    c.loss = config_dict.ConfigDict()
    # Between clips: "triplet" (batch-hard, Eq. 4), "soft_triplet" (no margin, Hermans
    # et al. 2017) or "circle" (Sun et al. 2020); weighed by triplet_weight
    c.loss.metric = "triplet"
    # Of the classifier: "softmax" (Eq. 5), or with a margin "cosface" or "arcface",
    # which need model.classifier="cosine"; weighed by cross_entropy_weight
    c.loss.classifier = "softmax"
    c.loss.margin = 0.3  # m of Eq. 4, in units of the L2 distance; code
    c.loss.label_smoothing = 0.1  # code; 0.0 is Eq. 5
    c.loss.triplet_reduction = "mean"  # over anchors (code); "sum" is Eq. 4
    c.loss.triplet_weight = 1.0  # Eq. 6; 0.0: cross-entropy only, paper 2
    c.loss.cross_entropy_weight = 1.0  # Eq. 6; 0.0: triplet loss only
    c.loss.circle_margin = 0.25  # m of Sun et al. 2020, Eq. 8
    c.loss.circle_scale = 64.0  # γ of it
    c.loss.cosine_margin = 0.35  # of cosines in "cosface", of radians in "arcface"
    c.loss.cosine_scale = 30.0  # s: cosines are multiplied by it before the softmax
    # Of the center loss (Wen et al. 2016); above 0 it needs model.centers. 5e-4: Luo et
    # al. 2019
    c.loss.center_weight = 0.0

    c.train = config_dict.ConfigDict()
    c.train.optimizer = "adam"  # adam or sgd
    c.train.momentum = 0.9  # of sgd; paper 2, Sec. IV-A
    c.train.learning_rate = 3e-4  # P1 Sec. 4.2
    c.train.weight_decay = 5e-4  # coupled L2 on every parameter; code
    c.train.epochs = 800  # of all training identities once; code
    c.train.decay_every_epochs = (
        200  # the learning rate becomes decay_factor of it; code
    )
    c.train.decay_factor = 0.1
    c.train.warmup_epochs = 0.0  # linear, from 0
    # Parts that a batch is computed in, for less memory; the losses see all of it
    c.train.accumulate = 1
    c.train.max_steps = config_dict.placeholder(int)  # cuts a run short; 0: scores only
    c.train.eval_every_epochs = 40  # also at the end
    c.train.checkpoint_every_epochs = 10  # also at the end and when interrupted
    c.train.log_every_steps = 10
    # (first, last): writes a trace of these steps to <workdir>/profile, for TensorBoard
    # and Perfetto
    c.train.profile_steps = ()

    c.eval = config_dict.ConfigDict()
    c.eval.batch_clips = 64  # clips a batch, of any tracklets
    # Only the first so many frames of every tracklet; by default all
    c.eval.max_frames = config_dict.placeholder(int)
    # White Gaussian noise on query and gallery: its variance, pixels in 0..1 (paper 2:
    # 1e-4 to 3e-3)
    c.eval.noise = 0.0
    # True: before distances, the mean of each camera's embeddings in query and gallery
    # is taken off (of all cameras together where one has fewer than 5 tracklets)
    c.eval.center_cameras = False
    # l2, cosine, xqda, kissme; several with commas: l2,xqda. l2+qe expands queries by
    # their nearest gallery entries, l2+qe+dba the gallery too
    c.eval.metric = "l2"
    c.eval.expansion_k = 5  # neighbours that an expansion takes
    # Their weight is the cosine to this power; 0: a plain mean. Radenović et al. 2018
    c.eval.expansion_alpha = 3.0
    c.eval.rerank = False  # k-reciprocal re-ranking too, a row more for each metric
    c.eval.rerank_k1 = 20  # Zhong et al. 2017, Sec. 4.1
    c.eval.rerank_k2 = 6
    c.eval.rerank_lambda = 0.3
    c.eval.xqda_regularizer = 1e-3  # the published code's lambda
    c.eval.kissme_dim = 128  # of the PCA before it
    c.eval.ap = "step"  # step (papers' code) or trapezoid (MARS's own script)
    # Headline: torchreid or official; on MARS no_distractor or clean, too
    c.eval.protocol = "torchreid"
    c.eval.baselines = False  # score a colour histogram and the untrained network too
    c.eval.pictures = True  # ranked lists, CMC curve, attention, …
    c.eval.map = "pca"  # or tsne: the picture of all embeddings
    c.eval.checkpoint = "latest"  # or best (mAP): chosen by the score it then reports

    c.init_from = config_dict.placeholder(
        str
    )  # checkpoint file or workdir to start from
    return variants.apply(c, variant)


def whole_dataset(name: str) -> str:
    """Whose persons a dataset's name has: two splits of one data set share them."""
    dataset = name.split("/")[0]
    # Each config of these has persons of its own.
    is_own = dataset in ("walkers", "tracklet_folder", "image_folder")
    return name if is_own else dataset
