"""LSTM over the frame features, mean of its outputs (paper 1, Tables 9 and 10, T=4).

python train.py --config=configs/rnn.py --workdir=runs/rnn

Paper, on MARS: mAP 73.9, CMC-1 81.6. The rows of Tables 6 to 8 are variants such as
rnn.py:cell=gru,output=last,dim=1024,T=8.
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.temporal = "lstm"
    config.train.learning_rate = 1e-4  # P1 Sec. 4.2: the rate of RNNs
    return variants.apply(config, variant, "cell", "output", "dim")
