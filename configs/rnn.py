"""LSTM over the frame features, mean of its outputs (paper 1, Tables 9 and 10, T=4).

python train.py --config=configs/rnn.py --workdir=runs/rnn
Paper, MARS: mAP 73.9, CMC-1 81.6. Others of its rows (Tables 6 to 8):
--config.model.temporal=gru --config.model.rnn_output=last --config.model.rnn_dim=1024
--config.model.clip_length=8
"""

from configs import base


def get_config():
    config = base.get_config()
    config.model.temporal = "lstm"
    config.train.learning_rate = 1e-4  # P1 Sec. 4.2, RNN
    return config
