"""Turns as rows of samples have them (`encoding.py`), for transformers' `apply_chat_template`."""

from bench_shadows.data.special_tokens import ASSISTANT, IMAGE, USER

CHAT = f"""
{{%- for message in messages -%}}
  {{%- set text = namespace(value=message.content if message.content is string else "") -%}}
  {{%- if message.content is not string -%}}
    {{%- for part in message.content -%}}
      {{%- if part.type == "image" -%}} {{{{- "{IMAGE}" -}}}} {{%- else -%}}
        {{%- set text.value = text.value + part.text -%}}
      {{%- endif -%}}
    {{%- endfor -%}}
  {{%- endif -%}}
  {{%- if message.role == "assistant" -%}}
    {{{{- "{ASSISTANT}" + text.value + eos_token -}}}}
  {{%- else -%}}
    {{{{- "{USER}" + text.value -}}}}
  {{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}} {{{{- "{ASSISTANT}" -}}}} {{%- endif -%}}
"""
