"""Files that earlier versions wrote can still be read."""

import pytest
import torch

from awnlib import load_model

LOGITS = {  # of the two images below, as the version that saved the model computed them
    1.0: [[-0.5421728, 0.4621037, -0.2349268], [-0.5664850, 0.4546215, -0.2132805]],
    0.5: [[-0.5433743, 0.4670989, -0.2338106], [-0.5463725, 0.4768182, -0.2346335]],
    0.6: [[-0.5419602, 0.4612197, -0.2351243], [-0.5430176, 0.4656159, -0.2341420]],
}


@pytest.mark.parametrize("width_mult", LOGITS)
def test_a_model_saved_before_the_folders_moved(repository, width_mult):
    model, metadata = load_model(repository / "tests/data/s_net_d5c175f.safetensors")
    assert metadata == {"note": "saved at d5c175f"}
    images = torch.linspace(-1, 1, 2 * 256).reshape(2, 1, 16, 16)
    model.set_width_mult(width_mult)
    torch.testing.assert_close(model(images), torch.tensor(LOGITS[width_mult]), atol=1e-5, rtol=1e-5)
