"""The thesis's Lambda function: eager torch, scikit-learn's brute force and PIL, loaded at import.

What ``cold_start.py`` runs beside ours. The folder it is copied into holds ``about.json`` (where
the network's code lies, and its recipe), ``weights.pt``, ``vectors.npy`` and ``urls.json``: files
that load fast, so that this side loses nothing by them.
"""

import base64
import io
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ABOUT = json.loads((HERE / "about.json").read_text())
sys.path.insert(0, ABOUT["benchmarks"])

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402

import common  # noqa: E402

torch.set_num_threads(1)
NETWORK = common.network(ABOUT["recipe"], HERE / "weights.pt")
URLS = json.loads((HERE / "urls.json").read_text())
NEIGHBOURS = NearestNeighbors(n_neighbors=10, algorithm="brute", metric="euclidean")
NEIGHBOURS.fit(np.load(HERE / "vectors.npy"))


def handler(event, context):
    """A picture as base64 text in, its ten nearest out."""
    image = Image.open(io.BytesIO(base64.b64decode(event["body"]))).convert("RGB").resize((32, 32))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)
    with torch.no_grad():
        vector = NETWORK(pixels[None]).numpy()
    distances, found = NEIGHBOURS.kneighbors(vector)
    results = {URLS[i]: float(d) for i, d in zip(found[0], distances[0], strict=True)}
    return {"statusCode": 200, "body": json.dumps({"results": results})}
