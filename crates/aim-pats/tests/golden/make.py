"""Makes the golden files of this folder: tiny random models of the architectures that aim-pats reads, and what PyTorch's
`transformers` computes with them.

    python -m venv venv
    venv/bin/pip install torch==2.15.0 transformers==5.24.0
    venv/bin/python make.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2Model

FOLDER = pathlib.Path(__file__).parent
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
QUESTION = "Tom has 3 apples and buys 4 more. How many has he?"
STEPS = ["Tom starts with 3 apples.", "He buys 4, so 3 + 4 = 7."]
CANDIDATES = ["So he has \\boxed{7} apples.", "So he has \\boxed{8} apples.", "So"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<extra_0>", "<|begin|>"]

# Turns between marks, as Qwen2 has them; a system message of its own where none is given.
TURNS = """{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
# Another form: a first token, Python's methods, a block that trims.
BRACKETS = """{{ bos_token }}
{% for message in messages %}
    {% if message['role'] not in ['system', 'user', 'assistant'] %}
        {{ raise_exception('unknown role') }}
    {% endif %}
[{{ message['role'].upper() }}] {{ message['content'].strip() | trim }}
{% endfor %}
{% if add_generation_prompt %}[ASSISTANT] {% endif %}"""


def tokenizer(template):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=SPECIAL)
    inner.train_from_iterator([SYSTEM, QUESTION, *STEPS, *CANDIDATES, "\n\n", "assistant\n user\n system\n"] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|begin|>", eos_token="<|im_end|>", chat_template=template
    )


def shape(text):
    return dict(
        vocab_size=len(text), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=text.eos_token_id, bos_token_id=None,
    )


def randomise(model):
    """Biases and norms differ from their first values, too; large weights make attention uneven."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
            else:
                weight.normal_(0, 0.3)


def old_form(folder):
    """The configuration as earlier versions of `transformers` write it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    path.write_text(json.dumps(config, indent=2))


def rounded(tensor):
    return [float(f"{x:.7g}") for x in tensor.flatten().tolist()]


def language(name, model, text, prompt_steps):
    randomise(model.eval())
    folder = FOLDER / name
    model.save_pretrained(folder)
    text.save_pretrained(folder)
    conversation = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    rendered = text.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    prompt = rendered + "".join(step + "\n\n" for step in prompt_steps)
    ids = text.encode(prompt, add_special_tokens=False)
    prefix = len(ids) - 5
    rows = torch.tensor([ids[prefix:], ids[3:8], ids[20:25]])
    whole = torch.cat([torch.tensor([ids[:prefix]] * 3), rows], 1)
    with torch.no_grad():
        logits = model(whole).logits[:, prefix:]
        # Without a mask, tokens that equal the padding would not be seen.
        prompt_ids = torch.tensor([ids])
        greedy = model.generate(
            prompt_ids, attention_mask=torch.ones_like(prompt_ids), max_new_tokens=24, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )[0, len(ids):].tolist()
    expected = {
        "question": QUESTION, "steps": prompt_steps, "rendered": rendered, "prompt": ids, "prefix": prefix,
        "rows": rows.tolist(), "logits": rounded(logits), "greedy": greedy,
    }
    (folder / "expected.json").write_text(json.dumps(expected))


def reward(name, text):
    config = Qwen2Config(**shape(text), rms_norm_eps=1e-6, use_sliding_window=False, architectures=["Qwen2ForProcessRewardModel"])
    model = torch.nn.ModuleDict(
        {
            "model": Qwen2Model(config),
            "score": torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)),
        }
    ).eval()
    randomise(model)
    with torch.no_grad():
        for weight in model["score"].parameters():
            weight.mul_(0.3)
    folder = FOLDER / name
    config.save_pretrained(folder)
    text.save_pretrained(folder)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")

    def score(steps):
        conversation = [
            {"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
        ]
        rendered = text.apply_chat_template(conversation, tokenize=False)
        ids = torch.tensor([text.encode(rendered, add_special_tokens=False)])
        with torch.no_grad():
            probabilities = model["score"](model["model"](ids).last_hidden_state).softmax(-1)
        return float(probabilities[ids == text.convert_tokens_to_ids("<extra_0>")][-1, 1])

    first = [score([step]) for step in CANDIDATES]
    later = [score([*STEPS, step]) for step in CANDIDATES]
    expected = {"question": QUESTION, "steps": STEPS, "candidates": CANDIDATES, "first": first, "later": later}
    (folder / "expected.json").write_text(json.dumps(expected))


def main():
    torch.manual_seed(0)
    turns, brackets = tokenizer(TURNS), tokenizer(BRACKETS)
    qwen = Qwen2Config(**shape(turns), rms_norm_eps=1e-6, use_sliding_window=False, rope_parameters={"rope_type": "default", "rope_theta": 1e6})
    language("qwen2", Qwen2ForCausalLM(qwen), turns, STEPS)
    old_form(FOLDER / "qwen2")
    stretch = dict(
        rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=64,
    )
    llama = LlamaConfig(**shape(brackets), rms_norm_eps=1e-5, rope_parameters=stretch, tie_word_embeddings=True)
    language("llama", LlamaForCausalLM(llama), brackets, [])
    reward("reward", turns)


main()
