# What a profile or the command says of the rules' resources.


def asked_resource(rule_name, resource):
    """The number that set-resources (of a profile or the command) gives a rule, in place of its own; None without."""
    asked = workflow.resource_settings.overwrite_resources.get(rule_name, {}).get(
        resource
    )
    return None if asked is None or asked.is_evaluable() else asked.value
